"""What can be wrong, by number: the same number always means the same."""

from __future__ import annotations

from dataclasses import dataclass

from svcc.verify.spec.userspace_codes import OF_USERSPACE_MODE


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding: what it means, how it comes about, how to mend it."""

    number: str
    title: str
    meaning: str
    causes: str
    remedy: str


NEVER_REACHED = "SVC001"
WRONG_BACKEND = "SVC002"
NOT_TRANSLATED = "SVC003"
LOST = "SVC004"
UNFAIR = "SVC005"
NOT_REMEMBERED = "SVC006"
MASQUERADED = "SVC007"
NOT_MASQUERADED = "SVC008"
NOT_REFUSED = "SVC009"
OTHER_REFUSAL = "SVC010"
CAPTURED = "SVC011"
NOT_LET_THROUGH = "SVC012"
ENDLESS = "SVC013"
SURPLUS_ADDRESS = "SVC014"
CUTS_OFF = "SVC017"
POLICY = "SVC015"
NOT_THE_SAME = "SVC016"
OUTSIDE_THE_MODEL = "SVC020"
TOO_MANY_RULES = "SVC021"
GAVE_UP = "SVC022"
UNCONFIRMED = "SVC023"
LEFT_OUT_WRONGLY = "SVC024"
IN_FORCE_BESIDE = "SVC025"
NO_SERVICE_RULES = "SVC026"
TABLE_NOT_GIVEN = "SVC030"
NOT_SHOWN = "SVC031"
IPVS_NOT_GIVEN = "SVC032"
NO_ENDPOINTS_GIVEN = "SVC033"
TRUNCATED = "SVC034"
FAMILY_NOT_GIVEN = "SVC035"
NO_POD_NETWORK = "SVC036"
NOTHING_JUDGED = "SVC037"
PASSED_OVER = "SVC038"
BAD_INPUT = "SVC040"
ENDPOINT_STALE = "SVC041"
ENDPOINT_MISSING = "SVC042"
ENDPOINT_DIFFERS = "SVC043"
SELECTS_NOTHING = "SVC050"
SELECTS_SEVERAL = "SVC051"
NO_SUCH_PORT = "SVC052"
UNDECLARED_PORT = "SVC053"
OTHER_PROTOCOL = "SVC054"
NEVER_READY = "SVC055"
NOT_GOVERNED = "SVC056"
CLASH = "SVC057"
NO_LOCAL_POD = "SVC058"
EXTERNAL_NAME = "SVC059"
ADDRESS_OUTSIDE = "SVC060"
NAME_MISSING = "SVC070"
NAME_SURPLUS = "SVC071"
NAME_NOT_SERVED = "SVC072"
NAME_NOT_GIVEN = "SVC073"
SOURCE_NOT_KEPT = "SVC080"
LOCAL_WITHOUT_SOURCE = "SVC081"
NOT_DROPPED = "SVC082"
AFFINITY_WITHOUT_END = "SVC083"
OPEN_VIRTUAL_IPS = "SVC084"
NOT_PROXIED = "SVC085"
PASSIVE_HEALTH_CHECKS = "SVC086"
FLOW_SPLIT = "SVC087"
ADDRESSES_NOT_GIVEN = "SVC088"

_ALL = (
    Code(
        NEVER_REACHED, "backend never reached",
        "A selected backend gets no packet at all, while others do.",
        "The rule that chooses it is missing, stands behind one that always fires, or asks for "
        "what cannot be; or the rules are older than the endpoints.",
        "Look at the chain of the Service: one choice for each endpoint, the last without a "
        "probability. Reload the rules if they are old.",
    ),
    Code(
        WRONG_BACKEND, "sent to something that is no selected backend",
        "A packet for the frontend is translated to an address and port that the objects do not "
        "select for this sender.",
        "An endpoint that is gone or not ready, a wrong target port, an endpoint of another node "
        "under a Local policy, or a DNAT rule of another tool in front.",
        "Compare the DNAT rule that is named with `kubectl get endpointslices`.",
    ),
    Code(
        NOT_TRANSLATED, "not served",
        "A packet for the frontend passes through without being translated to a backend.",
        "No rule matches it: a missing jump, a wrong address, port or protocol, or a RETURN or "
        "ACCEPT in front of the rules of the Service.",
        "Look at the cause, or follow the trace (--trace): the first chain that should have "
        "matched is where the rule is missing.",
    ),
    Code(
        LOST, "dropped or refused on its way",
        "A packet that must reach a backend is dropped or refused.",
        "A drop in filter (often somebody else's rule in FORWARD or INPUT, or a policy DROP), or a "
        "refusal for a Service that has endpoints.",
        "The cause names the rule. Remove it, or accept service traffic in front of it.",
    ),
    Code(
        UNFAIR, "unequal shares",
        "The backends of a frontend do not get the same share of new connections.",
        "A probability that does not fit the number of choices left, a choice that stands twice, "
        "or one that is missing.",
        "Of n choices the first has the probability 1/n, the next 1/(n-1), the last none.",
    ),
    Code(
        NOT_REMEMBERED, "session affinity broken",
        "A client does not come back to its backend within the timeout, or stays for longer.",
        "The client is not recorded where it is looked for (list, mask, direction), the look-up is "
        "missing or has another number of seconds, or two Services share a list.",
        "For each backend the look-up (`--rcheck --seconds N --reap`) and the record (`--set`) "
        "name the same list, and no other rule names it.",
    ),
    Code(
        MASQUERADED, "masqueraded though the source must stay",
        "The source address is rewritten where the backend must see the client's own.",
        "A wrong cluster CIDR in the rules or given to svcc, masqueradeAll on one side only, or a "
        "rule that masquerades more than it should.",
        "Compare `clusterCIDR` and `masqueradeAll` with what the kube-proxy runs with.",
    ),
    Code(
        NOT_MASQUERADED, "not masqueraded though it must be",
        "The source address stays where it must be rewritten, so that replies go astray.",
        "The mark is not set (hairpin: `-s BACKEND -j KUBE-MARK-MASQ` is missing), is cleared, or "
        "POSTROUTING does not look at it or accepts the packet before.",
        "Look for the rule that sets the mark, and for what stands ahead in POSTROUTING.",
    ),
    Code(
        NOT_REFUSED, "let through though it must be refused or dropped",
        "A packet that no backend may get (no endpoints, none on this node, a source outside "
        "loadBalancerSourceRanges) is served or passes.",
        "The refusal or the source check is missing, or stands behind a rule that accepts.",
        "Look for the REJECT or DROP rule of this frontend in filter.",
    ),
    Code(
        OTHER_REFUSAL, "dropped instead of refused, or the reverse",
        "The packet is stopped, but not as it must be: clients wait for a time-out instead of "
        "failing at once, or are told what they should not be.",
        "DROP where REJECT belongs (no endpoints anywhere), or REJECT where DROP belongs.",
        "No endpoints at all: REJECT. Endpoints, but none for this sender: DROP.",
    ),
    Code(
        CAPTURED, "a packet for no frontend is touched",
        "A packet that is for no Service is translated, marked for masquerading, refused or "
        "dropped by service rules.",
        "Rules of a Service that is gone, a match that is too wide, or a node port on an address "
        "that `nodePortAddresses` leaves out.",
        "The rule named does it; remove it or make its match narrower.",
    ),
    Code(
        NOT_LET_THROUGH, "replies, marked packets, health checks or invalid packets",
        "What the service rules of filter must accept is left to the policy, or what they must "
        "drop passes.",
        "A rule of KUBE-FORWARD or KUBE-NODEPORTS is missing, or a drop stands in front.",
        "With a policy ACCEPT nobody notices until the policy changes; restore the rule.",
    ),
    Code(
        ENDLESS, "a walk through the rules does not end well",
        "Chains jump in a circle, to a chain that is not there, or deeper than the kernel allows.",
        "Rules that were joined by hand, or cut off.",
        "The jumps are named; remove one.",
    ),
    Code(
        SURPLUS_ADDRESS, "a virtual IP that no Service has",
        "The node takes packets for an address of the IPVS device that is no frontend.",
        "The Service is gone, its address was not taken off.",
        "`ip address delete` it, or let the service proxy synchronise.",
    ),
    Code(
        CUTS_OFF, "a virtual IP that is another host's address",
        "The IPVS device has the address of another Node, or of an endpoint. Whatever this node "
        "sends there stays on the node: it can no longer reach that host at all.",
        "A Service has the address of a Node as an external IP or as its balancer's, as service "
        "balancers on the nodes themselves write it (kubernetes#127410).",
        "Serve the address in iptables mode, or by svcc, which leaves it off the device; or give "
        "the Service another address.",
    ),
    Code(
        POLICY, "a statement of the policy does not hold",
        "A packet shows that the rules do not do what a statement of --policy asks.",
        "The Services are exposed otherwise than the statement expects, or the rules are wrong; "
        "in that case another property is violated too.",
        "Look at the packet and its trace; change the Service or the statement.",
    ),
    Code(
        NOT_THE_SAME, "two rule sets differ",
        "With --against: a packet is not treated the same by both rule sets.",
        "Something was changed between them, or the programs that wrote them read the objects "
        "differently.",
        "Compare the two ways of the packet; svcc verify --rules tells of each which one the "
        "objects ask for.",
    ),
    Code(
        OUTSIDE_THE_MODEL, "decided by a rule outside the model",
        "A match or target that svcc does not model can decide what becomes of the packet.",
        "Matches on time, payload, owner or rate, sets whose contents were not given, and so on.",
        "Give the sets (`ipset save`) beside the rules; else judge that rule by eye.",
    ),
    Code(
        TOO_MANY_RULES, "too many rules to write out",
        "The rules touch these packets in more ways than can be written out.",
        "Chains that jump to the same long chains again and again.",
        "Report it with the rules.",
    ),
    Code(
        GAVE_UP, "the solver gave up",
        "Z3 found neither a proof nor a packet in its time.",
        "Thousands of backends with affinity, or rules that are hard to decide.",
        "Report it with the rules.",
    ),
    Code(
        UNCONFIRMED, "internal error: a packet that the simulator does not confirm",
        "Solver and simulator disagree about a packet: one of the two models is wrong.",
        "A fault of svcc.",
        "Report it with the rules and the packet.",
    ),
    Code(
        LEFT_OUT_WRONGLY, "internal error: the solver doubts what was left out of a proof",
        "With --paranoid: a rule, a condition or a packet was left out that may count.",
        "A fault of svcc.",
        "Report it with the rules.",
    ),
    Code(
        IN_FORCE_BESIDE, "other rules are in force, and were not judged",
        "The kernel passes packets through the rules of iptables-legacy, of iptables-nft and of "
        "every table of nftables. Those that are named can touch the packets, too.",
        "The node's iptables was changed from one variant to the other and the old rules stayed, "
        "or a bridge has tables of nftables. Of two tables at one priority that both decide about "
        "a packet nobody can say which the kernel asks first.",
        "Look at them with the command that is named. Rules of the other variant are judged with "
        "`--iptables legacy` or `nft`; what nobody needs any more should go.",
    ),
    Code(
        NO_SERVICE_RULES, "no rules of a Service proxy were found",
        "With --live: the network namespace has none of the chains, virtual servers or "
        "translations that a Service proxy makes, in any place that svcc reads.",
        "The command runs in another network namespace than kube-proxy (a pod without "
        "hostNetwork), the proxy does not run, or it is one that needs no such rules (eBPF).",
        "Run it on the node itself; look whether the proxy runs, and in which mode.",
    ),
    Code(
        TABLE_NOT_GIVEN, "a table was not given",
        "The rules have no table filter, or no table nat. A Service needs both: nat translates, "
        "filter refuses and drops. What the missing one does is unknown, so nothing that it has a "
        "say in is proved or refuted.",
        "The text is of `iptables-save -t nat`, or a part of a dump. (A family without frontends "
        "needs neither; with --live all tables were read, and what is not there does not exist.)",
        "Give all that `iptables-save` (IPv6: `ip6tables-save`) prints without -t.",
    ),
    Code(
        NOT_SHOWN, "the text says that it does not show all rules",
        "iptables-save wrote into the text that the other variant of iptables has rules too, or "
        "that it cannot show a table. The kernel passes packets through those as well.",
        "The node's iptables was changed from legacy to nft and the old rules stayed, or somebody "
        "put rules into the tables of iptables with nft.",
        "Print the rest with `iptables-legacy-save` or `nft list ruleset` and judge the node by "
        "`svcc verify --live`, which reads both variants. Rules that nobody needs should go.",
    ),
    Code(
        IPVS_NOT_GIVEN, "virtual servers or sets were not given",
        "These are the iptables rules of a node in ipvs mode. They decide by sets, and IPVS "
        "translates; without both nothing can be said.",
        "Only what `iptables-save` prints was given.",
        "Add what `ipvsadm -Sn` and `ipset save` print, each with a --rules of its own.",
    ),
    Code(
        NO_ENDPOINTS_GIVEN, "no EndpointSlices were given",
        "There are Services, and not one EndpointSlice or Endpoints among the objects: every "
        "Service seems to have no backend, so that refusing all would be right. Rules that refuse "
        "all are not doubted, they say the same as the objects: there is a warning, and with "
        "`--strict` this finding.",
        "The manifests of an application have no EndpointSlices, the cluster makes them; or the "
        "command that printed the objects did not ask for them.",
        "`kubectl get services,endpointslices,nodes -A -o yaml` prints all that is needed. For "
        "Services that have no backends give an EndpointSlice without endpoints.",
    ),
    Code(
        TRUNCATED, "the Endpoints have not all endpoints",
        "The annotation `endpoints.kubernetes.io/over-capacity: truncated` says that endpoints "
        "were left out, so it is unknown which backends the Service must reach.",
        "An Endpoints object holds at most 1,000 endpoints.",
        "Give the EndpointSlices, which have all: `kubectl get endpointslices -A -o yaml`.",
    ),
    Code(
        FAMILY_NOT_GIVEN, "a Service of two families with endpoints of one",
        "A Service has cluster IPs of both families, and there is no EndpointSlice of one of "
        "them. The cluster makes slices for each family, be they empty.",
        "Endpoints objects hold the Service's first family only; or slices were left out.",
        "Give all EndpointSlices: `kubectl get endpointslices -A -o yaml`. If the Service really "
        "has no endpoints of that family, an EndpointSlice of that addressType without endpoints "
        "says so.",
    ),
    Code(
        NO_POD_NETWORK, "no pod network is known",
        "The rules treat a network or interface as the pods', and svcc was told of none. What "
        "pods must see is unknown: whether a cluster IP may masquerade them, and which endpoints "
        "they reach under a Local policy. All else is judged.",
        "`clusterCIDR` is not set in the configuration that was given, or none was given.",
        "Give what the node's kube-proxy has: --cluster-cidr, --detect-local-mode, or its "
        "configuration with --config. The finding names what the rules use.",
    ),
    Code(
        NOTHING_JUDGED, "no Service was judged",
        "Not one Service among the objects has a frontend, so there was nothing to prove.",
        "The manifests were never applied (the API server assigns cluster IPs), hold no Service, "
        "or only such as have no frontend by their kind: headless ones, ExternalName.",
        "Give the objects as the API server has them: "
        "`kubectl get services,endpointslices,nodes -A -o yaml`.",
    ),
    Code(
        PASSED_OVER, "passed over",
        "An object has no say, so nothing is proved about it. A notice; with --strict a Service or "
        "slice that is passed over makes the verdict undecided, unless it is a headless or "
        "ExternalName Service, which has no frontend by its kind.",
        "No cluster IP (not applied yet), a label that leaves the Service to another proxy, no "
        "ports, a slice of no Service, two Services that claim one frontend, and so on.",
        "The finding says why; mend it, or leave the object out.",
    ),
    Code(
        BAD_INPUT, "bad input",
        "Something that was given cannot be read, or contradicts itself. Exit code 2.",
        "See the message; it has file, line and column where there are any.",
        "The message says what to do.",
    ),
    Code(
        ENDPOINT_STALE, "an endpoint that is no selected Pod",
        "A slice holds an address that the Service's selector does not select: no Pod has it, the "
        "Pod has other labels, has ended, or has no such port.",
        "The endpoint slice controller lags behind or stands still, somebody edited the slice, or "
        "Pods and slices were printed at different times.",
        "Print both anew with one command. If it stays, look at kube-controller-manager; a slice "
        "of your own needs another `endpointslice.kubernetes.io/managed-by`.",
    ),
    Code(
        ENDPOINT_MISSING, "a selected Pod that is in no slice",
        "The Service's selector selects a Pod with an address, and no slice has it at that port.",
        "The endpoint slice controller lags behind or stands still, or slices were left out of "
        "what was given.",
        "Print Pods and slices anew with one command: "
        "`kubectl get services,endpointslices,pods,nodes -A -o yaml`.",
    ),
    Code(
        ENDPOINT_DIFFERS, "an endpoint that is otherwise than its Pod",
        "A slice says of an address that it is ready, terminating or on a node, and the Pod says "
        "otherwise.",
        "The endpoint slice controller lags behind, or somebody edited the slice. With "
        "`publishNotReadyAddresses` every Pod counts as ready.",
        "Print both anew with one command; else look at kube-controller-manager.",
    ),
    Code(
        SELECTS_NOTHING, "a selector that selects nothing",
        "With --simulate: no workload of the manifests has the labels that the Service selects by, "
        "in its namespace. A note where the namespace has no workload, or where something else "
        "among the manifests may make the Pods (an operator's own kinds).",
        "A slip in a label, another release name, a namespace that only one of the two names.",
        "Compare `spec.selector` with `spec.template.metadata.labels`; the message names the "
        "workload that comes nearest.",
    ),
    Code(
        SELECTS_SEVERAL, "a selector that selects several applications",
        "With --simulate: workloads whose labels say that they are different applications are "
        "backends of one Service; or a Job is, while it runs (a note).",
        "The selector has only labels that all applications of a release share.",
        "Select by a label that tells them apart, such as `app.kubernetes.io/component`.",
    ),
    Code(
        NO_SUCH_PORT, "a target port that no container has",
        "With --simulate: the `targetPort` is a name, and no container of the selected workloads "
        "names a port so. Pods without it are no endpoints of that port.",
        "A slip, or the container's `ports` were left out.",
        "Name the port in the container, or write its number.",
    ),
    Code(
        UNDECLARED_PORT, "a target port that no container declares",
        "With --simulate, a note: the number is in no container's `ports`. Kubernetes does not "
        "need it there, but people do.",
        "Only some ports were declared, or the number is wrong.",
        "Look at which port the program listens on, and declare it.",
    ),
    Code(
        OTHER_PROTOCOL, "a port of another protocol",
        "With --simulate: the Service port's protocol is not that of the container's port.",
        "`protocol` was left out, which means TCP.",
        "Write the protocol at both.",
    ),
    Code(
        NEVER_READY, "Pods that never become ready",
        "With --simulate: the Service selects Pods that can never be ready: a probe asks a port "
        "by a name that its container has not, or no Node may run them.",
        "A slip in the probe's port or in `nodeSelector`.",
        "The finding names the place. With `publishNotReadyAddresses` it does not matter.",
    ),
    Code(
        NOT_GOVERNED, "a StatefulSet and its headless Service do not fit",
        "With --simulate: the names of the Pods (`web-0.web`) do not resolve. The StatefulSet has "
        "no `serviceName` though a headless Service selects it, or names a Service that is not "
        "there, is not headless, or does not select its Pods.",
        "The headless Service was renamed or left out.",
        "Let `serviceName` be the name of a Service with `clusterIP: None` and the same labels.",
    ),
    Code(
        CLASH, "two Services claim one frontend",
        "Two Services have the same node port, or the same address and port. Exit code 2.",
        "A node port was copied, or a cluster IP was written down twice.",
        "Change one of the two that are named.",
    ),
    Code(
        NO_LOCAL_POD, "a Local policy without Pods",
        "With --simulate: the Service sends to Pods of the same node only, and no workload that it "
        "selects can have one (no replicas, or no Node that may run them).",
        "`replicas: 0`, a suspended Job, a `nodeSelector` that no Node fulfils.",
        "Use the policy Cluster, or give the workload a Pod on the nodes that get packets.",
    ),
    Code(
        EXTERNAL_NAME, "an ExternalName that does not do what it says",
        "With --simulate: the name is an IP address, which no DNS resolves, or is missing; or the "
        "Service has ports, which nothing looks at (a note).",
        "A Service was changed from another type.",
        "For an address write a Service without a selector and an EndpointSlice.",
    ),
    Code(
        ADDRESS_OUTSIDE, "an address outside of its range",
        "A statement of --policy says in which networks addresses of Services lie, and one lies "
        "outside.",
        "A slip in the address, a balancer that hands out other addresses, or a range that grew.",
        "Change the address or the statement.",
    ),
    Code(
        NAME_MISSING, "a name does not answer what it must",
        "The zone lacks a record that the Kubernetes DNS specification asks for: an address of a "
        "Service or of a ready endpoint, a named port (SRV), a reverse name (PTR), an alias.",
        "The zone is older than the objects, or has another cluster domain; a line was taken away.",
        "Write the zone anew with `svcc compile --target dns`; compare --cluster-domain with what "
        "the kubelet has.",
    ),
    Code(
        NAME_SURPLUS, "a name answers what it must not",
        "The zone has a record that no object asks for: an address of a Service or endpoint that "
        "is gone or not ready, another port, a wildcard, a name of something else.",
        "The zone is older than the objects, or somebody wrote into it by hand.",
        "The finding names the line. Names that are no Services' belong into a zone of their own.",
    ),
    Code(
        NAME_NOT_SERVED, "a name answers something that is not proved to be served",
        "The name is as the objects ask, but of the frontend that it leads to something is "
        "violated or undecided.",
        "What is wrong with the rules; the finding has the code.",
        "Mend the rules: the other finding says how.",
    ),
    Code(
        NAME_NOT_GIVEN, "a name of a Pod, and no Pod was given",
        "The zone names a Pod by its address, in a namespace of which no Pod is among the objects. "
        "Whether it is there is unknown.",
        "The command that printed the objects did not ask for Pods, or for those of one namespace.",
        "Give the Pods too: `kubectl get services,endpointslices,pods,nodes -A -o yaml`.",
    ),
    *(Code(*row) for row in OF_USERSPACE_MODE),
)  # fmt: skip

CODES = {code.number: code for code in _ALL}

NOT_GIVEN = frozenset({
    TABLE_NOT_GIVEN, NOT_SHOWN, IPVS_NOT_GIVEN, NO_ENDPOINTS_GIVEN, TRUNCATED, FAMILY_NOT_GIVEN,
    NO_POD_NETWORK, NOTHING_JUDGED, PASSED_OVER,
})  # fmt: skip
"""Findings about what was given rather than about rules."""
