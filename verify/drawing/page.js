"use strict";
(() => {
  const SENDERS = ["pod", "node", "outside"];
  const VERDICTS = {
    p: ["proved", "✓ proved"], v: ["violated", "✗ violated"],
    u: ["undecided", "? undecided"], "-": ["none", "– not judged"],
  };
  const LETTERS = { proved: "p", violated: "v", undecided: "u" };
  const RANK = { "-": 0, p: 1, u: 2, v: 3 };
  const PAGE = 100, MOST_BACKENDS = 32, MOST_NODES = 40;
  const data = JSON.parse(document.getElementById("picture").textContent);
  for (const service of data.services) {
    for (const port of service.ports) {
      for (const backend of port.backends) backend.state = backend.state || "ready";
      for (const frontend of port.frontends) {
        frontend.treatments = frontend.treatments.map(([number, backends]) => ({ ...data.treatments[number], backends }));
      }
    }
  }
  const byId = (id) => document.getElementById(id);
  const state = { node: 0, service: 0, list: PAGE, senders: PAGE, nodes: PAGE };

  // Text becomes text nodes only, whatever stands in it.
  function make(tag, attributes, ...children) {
    const found = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "class") found.className = value;
      else if (name.startsWith("on")) found.addEventListener(name.slice(2), value);
      else if (value !== undefined && value !== null) found.setAttribute(name, value);
    }
    for (const child of children.flat()) {
      if (child !== null && child !== undefined && child !== "") found.append(child);
    }
    return found;
  }
  const worst = (letters) => [...letters].reduce((a, b) => (RANK[b] > RANK[a] ? b : a), "-");
  const mark = (letter) => make("span", { class: `mark ${VERDICTS[letter][0]}` }, VERDICTS[letter][1]);
  const node = () => data.nodes[state.node];
  const serviceAt = (of, number) => data.services[of.services[number]];
  const frontendsOf = (service) => service.ports.flatMap((port) => port.frontends.map((f) => [port, f]));

  // -- which Services ----------------------------------------------------------------

  const texts = new Map();
  function searched(service) {
    if (!texts.has(service)) {
      const places = frontendsOf(service).map(([port, f]) => `${f.kind} ${f.place} ${port.protocol} ${port.name}`);
      texts.set(service, [service.key, service.dns, service.type, ...places].join(" ").toLowerCase());
    }
    return texts.get(service);
  }
  function matching() {
    const wanted = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [];
    node().services.forEach((_, number) => {
      const verdict = VERDICTS[worst(node().verdicts[number])][1];
      const text = `${searched(serviceAt(node(), number))} ${verdict}`;
      if (wanted.every((word) => text.includes(word))) found.push(number);
    });
    return found;
  }
  function moreButton(id, shown, all, key) {
    const button = byId(id);
    button.hidden = shown >= all;
    button.textContent = `Show more (${all - shown} are left)`;
    button.onclick = () => { state[key] += PAGE; update(); };
  }

  function list(found) {
    const shown = found.slice(0, state.list);
    byId("count").textContent = `${found.length} of ${node().services.length} Services`;
    byId("list").replaceChildren(...shown.map((number) => {
      const letter = worst(node().verdicts[number]);
      return make("li", {}, make("button", {
        type: "button", "aria-current": number === state.service ? "true" : null,
        onclick: () => choose(number),
      }, make("span", {}, serviceAt(node(), number).key), mark(letter)));
    }));
    moreButton("more-list", shown.length, found.length, "list");
  }

  // -- the drawing -------------------------------------------------------------------

  let edges = [];
  function box(kind, ...children) { return make("div", { class: `box ${kind}` }, ...children); }
  function line(text, kind) { return text ? make("div", { class: kind || "" }, text) : null; }

  function draw() {
    edges = [];
    const stage = byId("stage");
    if (!node().services.length) {
      byId("name").textContent = "No Service";
      stage.replaceChildren();
      return;
    }
    const service = serviceAt(node(), state.service);
    const verdicts = node().verdicts[state.service];
    byId("name").textContent = `${service.key} on node ${node().node}`;
    byId("facts").textContent = `Type ${service.type}; internalTrafficPolicy ${service.internal}, `
      + `externalTrafficPolicy ${service.external}`
      + (service.affinity === null ? "" : `; sessionAffinity ClientIP, ${service.affinity} s`);
    // A name may be broken behind its dots.
    const dns = service.dns.split(".").flatMap((label, number) => (number ? [".", make("wbr"), label] : [label]));
    const name = box("round", make("div", { class: "plain" }, dns), line(`Service ${service.key}`));
    const ports = make("div", { class: "ports" });
    let order = 0;
    for (const port of service.ports) {
      const [grid, next] = drawPort(service, port, name, verdicts, order);
      order = next;
      ports.append(grid);
    }
    stage.replaceChildren(name, ports, svg("svg", {}));
    findings(service);
    endpoints(service);
    connect();
  }

  function drawPort(service, port, name, verdicts, first) {
    const grid = make("div", { class: "port" });
    const used = new Set(port.frontends.flatMap((f) => f.treatments.flatMap((t) => t.backends)));
    const boxes = port.backends.slice(0, MOST_BACKENDS).map((backend, number) => backendBox(backend, used.has(number)));
    const more = port.backends.length - boxes.length;
    const rest = more > 0 ? box(used.size ? "" : "unused", line(`${more} more endpoints`, "plain"), line("listed below")) : null;
    let order = first;
    port.frontends.forEach((frontend, row) => {
      const letter = verdicts[order++];
      const inside = frontend.kind === "cluster IP";
      const head = box(VERDICTS[letter][0], line(frontend.kind), make("strong", {}, frontend.place, make("wbr"), `/${port.protocol}`),
        line(port.name ? `port ${port.name}` : ""),
        line(`${inside ? "internal" : "external"}TrafficPolicy ${inside ? service.internal : service.external}`),
        mark(letter));
      edges.push([name, head, inside ? "" : "has"]);
      const column = make("div", { class: "treatments" });
      for (const treatment of frontend.treatments) {
        const own = treatmentBox(treatment);
        edges.push([head, own, letter === "v" && wrongFor(order - 1, treatment) ? "bad" : ""]);
        const targets = new Set(treatment.backends.map((number) => boxes[number] || rest));
        for (const target of targets) edges.push([own, target, ""]);
        column.append(own);
      }
      head.style.gridRow = column.style.gridRow = String(row + 1);
      head.style.gridColumn = "1";
      column.style.gridColumn = "2";
      grid.append(head, column);
    });
    const last = make("div", { class: "backends" }, boxes, rest);
    if (!port.backends.length) last.append(box("unused", line("no endpoints", "plain")));
    last.style.gridRow = `1 / span ${Math.max(1, port.frontends.length)}`;
    last.style.gridColumn = "3";
    grid.append(last);
    return [grid, order];
  }

  function wrongFor(order, treatment) {
    return foundAt(order).some((finding) => treatment.senders.includes(finding.sender));
  }
  function foundAt(order) { return node().findings[`${state.service}.${order}`] || []; }

  function treatmentBox(treatment) {
    const chips = treatment.senders.map((kind) => make("span", { class: `chip ${kind}` }, kind));
    const number = treatment.backends.length;
    if (number) {
      const each = treatment.share ? `${treatment.share} to each of ${number}` : `one of ${number}, by ${treatment.scheduler}`;
      chips.push(make("span", { class: "chip share" }, number === 1 ? "all to 1" : each));
    }
    const found = box(treatment.senders.length ? "" : "unused",
      chips.length ? make("div", { class: "chips" }, chips) : null,
      treatment.who.map((text) => line(text)),
      make("strong", { class: treatment.action === "serve" ? "" : "refused" }, treatment.words),
      treatment.why.map((text) => line(text)),
      treatment.or.length ? line(`or ${treatment.or.join(", or ")}`) : null);
    found.tabIndex = 0;
    for (const [event, on] of [["mouseenter", true], ["focus", true], ["mouseleave", false], ["blur", false]]) {
      found.addEventListener(event, () => light(found, on));
    }
    return found;
  }

  function backendBox(backend, used) {
    const here = backend.node && backend.node === node().node;
    return box(used ? "" : "unused", make("strong", {}, backend.address), line(backend.pod ? `pod ${backend.pod}` : ""),
      line(backend.node ? `on ${backend.node}${here ? ", this node" : ""}` : ""),
      line(backend.state === "ready" ? "" : backend.state));
  }

  function light(from, on) {
    for (const edge of edges) {
      if (edge[0] !== from && edge[1] !== from) continue;
      edge[3].classList.toggle("lit", on);
      edge[0].classList.toggle("lit", on);
      edge[1].classList.toggle("lit", on);
    }
  }

  function svg(tag, attributes) {
    const found = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
    return found;
  }

  function connect() {
    const stage = byId("stage"), canvas = stage.querySelector("svg");
    if (!canvas) return;
    const origin = stage.getBoundingClientRect();
    canvas.setAttribute("width", String(stage.clientWidth));
    canvas.setAttribute("height", String(stage.clientHeight));
    canvas.setAttribute("aria-hidden", "true");
    // Ends are spread along a box's side in the order of what they lead to, so that few cross.
    const middleOf = (element) => { const rect = element.getBoundingClientRect(); return rect.top + rect.height / 2; };
    const ends = [new Map(), new Map()];
    for (const edge of edges) {
      for (const side of [0, 1]) {
        if (!ends[side].has(edge[side])) ends[side].set(edge[side], []);
        ends[side].get(edge[side]).push(edge);
      }
    }
    for (const side of [0, 1]) {
      for (const found of ends[side].values()) found.sort((a, b) => middleOf(a[1 - side]) - middleOf(b[1 - side]));
    }
    const at = (edge, side) => {
      const rect = edge[side].getBoundingClientRect();
      const found = ends[side].get(edge[side]);
      const y = rect.top - origin.top + (rect.height * (found.indexOf(edge) + 1)) / (found.length + 1);
      return [(side ? rect.left : rect.right) - origin.left, y];
    };
    canvas.replaceChildren(...edges.map((edge) => {
      const [x, y] = at(edge, 0);
      const [endX, endY] = at(edge, 1);
      const middle = (x + endX) / 2;
      edge[3] = svg("path", { d: `M${x} ${y} C${middle} ${y} ${middle} ${endY} ${endX} ${endY}`, class: edge[2] });
      return edge[3];
    }));
  }

  // -- what was found ----------------------------------------------------------------

  function findingBox(about, finding) {
    const found = make("div", { class: `finding ${finding.verdict}` },
      make("h3", {}, mark(LETTERS[finding.verdict]), ` ${finding.code || finding.property} ${about}`),
      make("p", {}, finding.message),
      finding.reason ? make("p", {}, finding.reason) : null,
      finding.cause ? make("p", {}, "cause: ", make("code", {}, finding.cause)) : null);
    if (finding.packet) {
      const steps = (finding.way || []).map((step) => make("li", {}, box("",
        line(`${step.table} ${step.chain}`.trim()), make("code", {}, step.rule || "policy"),
        line(step.effect, "plain"), line(step.place))));
      found.append(make("h3", {}, "The packet's way"), make("ol", { class: "way" },
        make("li", {}, box("round", line("packet"), line(finding.packet, "plain"))), steps,
        make("li", {}, box(finding.verdict, line("got"), line(finding.got, "plain"),
          line("expected"), line(finding.expected, "plain")))));
    }
    return found;
  }

  function findings(service) {
    const boxes = [];
    frontendsOf(service).forEach(([port, frontend], order) => {
      for (const finding of foundAt(order)) {
        boxes.push(findingBox(`${frontend.kind} ${frontend.place}/${port.protocol}`, finding));
      }
    });
    byId("findings").replaceChildren(...boxes);
  }

  function endpoints(service) {
    byId("endpoints").replaceChildren(...service.ports.filter((port) => port.backends.length > MOST_BACKENDS).map((port) => {
      const details = make("details", {}, make("summary", {}, `All ${port.backends.length} endpoints of ${port.name || "the port"}`));
      details.addEventListener("toggle", () => {
        if (details.children.length > 1) return;
        details.append(table(["endpoint", "pod", "node", "state"],
          port.backends.map((b) => [b.address, b.pod || "", b.node || "", b.state])));
      });
      return details;
    }));
  }

  // -- matrices ----------------------------------------------------------------------

  function table(heads, rows) {
    const found = make("table", {});
    fill(found, heads, rows);
    return found;
  }
  function fill(found, heads, rows) {
    found.replaceChildren(
      make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, rows.map((row) => make("tr", {}, row.map((cell, number) => {
        if (cell instanceof HTMLTableCellElement) return cell;
        return number ? make("td", {}, cell) : make("th", { scope: "row" }, cell);
      })))));
  }

  function senders(found) {
    const rows = [];
    let all = 0;
    for (const number of found) {
      const service = serviceAt(node(), number);
      const letters = node().verdicts[number];
      frontendsOf(service).forEach(([port, frontend], order) => {
        if (++all > state.senders) return;
        const wrong = node().findings[`${number}.${order}`] || [];
        rows.push([`${frontend.kind} ${frontend.place}/${port.protocol}`,
          open(number, state.node, service.key),
          ...SENDERS.map((kind) => senderCell(frontend, kind, wrong)), mark(letters[order])]);
      });
    }
    fill(byId("senders"), ["frontend", "Service", ...SENDERS.map((kind) => `from ${kind}`), "verdict"], rows);
    moreButton("more-senders", rows.length, all, "senders");
  }
  function senderCell(frontend, kind, wrong) {
    const treatment = frontend.treatments.find((each) => each.senders.includes(kind));
    const bad = wrong.some((finding) => finding.verdict === "violated" && finding.sender === kind);
    const number = treatment ? treatment.backends.length : 0;
    const words = treatment ? treatment.words.replace(/^served/, `${number} backend${number === 1 ? "" : "s"}`) : "not known";
    return make("td", { class: bad ? "bad" : "" }, bad ? "✗ a packet goes wrong; must be: " : "", words);
  }
  function open(number, of, text) {
    return make("button", { type: "button", onclick: () => { state.node = of; choose(number); byId("drawing").focus(); } }, text);
  }

  function nodesTable(found) {
    const wanted = byId("node-filter").value.toLowerCase();
    const every = data.nodes.map((_, number) => number).filter((number) => data.nodes[number].node.toLowerCase().includes(wanted));
    const columns = every.slice(0, MOST_NODES);
    byId("nodes-count").textContent = every.length > columns.length
      ? `the first ${columns.length} of ${every.length} nodes` : `${every.length} of ${data.nodes.length} nodes`;
    const shown = found.slice(0, state.nodes);
    const rows = shown.map((number) => {
      const key = serviceAt(node(), number).key;
      return [key, ...columns.map((column) => {
        const there = placeOf(column).get(key);
        if (there === undefined) return "–";
        const button = open(there, column, "");
        button.append(mark(worst(data.nodes[column].verdicts[there])));
        button.setAttribute("aria-label", `${key} on ${data.nodes[column].node}: ${button.textContent}`);
        return button;
      })];
    });
    fill(byId("nodes"), ["Service", ...columns.map((number) => data.nodes[number].node)], rows);
    moreButton("more-nodes", shown.length, found.length, "nodes");
  }
  const placesOfNodes = new Map();
  function placeOf(column) {
    if (!placesOfNodes.has(column)) {
      const of = data.nodes[column];
      placesOfNodes.set(column, new Map(of.services.map((_, number) => [serviceAt(of, number).key, number])));
    }
    return placesOfNodes.get(column);
  }

  function others() {
    const parts = node().others.map((finding) => findingBox(finding.about, finding));
    if (parts.length) parts.unshift(make("h2", {}, "Found besides"));
    if (data.left_out.length) {
      parts.push(make("h2", {}, "Services without frontends"),
        make("ul", {}, data.left_out.slice(0, PAGE).map(([name, reason]) => make("li", {}, `${name}: ${reason}`))));
      if (data.left_out.length > PAGE) parts.push(make("p", {}, `and ${data.left_out.length - PAGE} more`));
    }
    byId("others").replaceChildren(...parts);
  }

  // -- what is shown now -------------------------------------------------------------

  function summary() {
    const counts = { p: 0, v: 0, u: 0, "-": 0 };
    for (const letters of node().verdicts) counts[worst(letters)]++;
    const parts = [`configured for ${node().mode} mode, ${node().services.length} Services: `];
    for (const letter of ["v", "u", "p", "-"]) {
      if (counts[letter]) parts.push(`${counts[letter]} `, mark(letter), " ");
    }
    if (node().verdict) parts.push("; the whole node: ", mark(LETTERS[node().verdict]));
    byId("summary").replaceChildren(...parts);
  }

  function choose(number) {
    const key = serviceAt(node(), number).key;
    state.service = number;
    history.replaceState(null, "", `#${encodeURIComponent(key)}@${encodeURIComponent(node().node)}`);
    byId("node").value = String(state.node);
    update();
  }
  function update() {
    const found = matching();
    summary();
    list(found);
    draw();
    senders(found);
    nodesTable(found);
    others();
  }
  function fromAddress() {
    const parts = location.hash.slice(1).split("@").map((text) => { try { return decodeURIComponent(text); } catch { return ""; } });
    const of = data.nodes.findIndex((each) => each.node === parts[1]);
    if (of >= 0) state.node = of;
    const place = data.nodes.length ? placeOf(state.node).get(parts[0]) : undefined;
    if (place !== undefined) return place;
    // What is wrong is seen first.
    const letters = node().verdicts.map((each) => worst(each));
    const bad = letters.indexOf("v");
    return bad >= 0 ? bad : Math.max(0, letters.indexOf("u"));
  }

  byId("title").textContent = data.title;
  document.title = data.title;
  byId("node").append(...data.nodes.map((each, number) => make("option", { value: String(number) }, each.node)));
  byId("node").addEventListener("change", (event) => {
    const key = node().services.length ? serviceAt(node(), state.service).key : "";
    state.node = Number(event.target.value);
    const there = placeOf(state.node).get(key);
    state.service = 0;
    if (there === undefined) update(); else choose(there);
  });
  byId("filter").addEventListener("input", () => {
    Object.assign(state, { list: PAGE, senders: PAGE, nodes: PAGE });
    const found = matching();
    if (found.length && !found.includes(state.service)) state.service = found[0];
    update();
  });
  byId("node-filter").addEventListener("input", update);
  byId("nodes-controls").hidden = data.nodes.length < 2;
  state.service = fromAddress();
  byId("node").value = String(state.node);
  update();
  new ResizeObserver(connect).observe(byId("stage"));
})();
