"""What is put in the place of the rules that were read, before they are judged: all of it, in
its order, and why what is judged then is what the kernel does with what was read.

1. *Endless walks are found* (:mod:`svcc.verify.prepare.termination`) in what was read. The kernel
   refuses them, and no model walks through them: whoever gets rules with one must not go on.
2. *The kubelet's chains are put in* (:mod:`svcc.verify.prepare.kubelet`). A kube-proxy before 1.26
   only marks what is to be dropped, and the kubelet of that age drops it; a text that has none of
   the kubelet's chains was written by kube-proxy alone, and on a node the kubelet's stand beside.
3. *Connection marks become plain* (:mod:`svcc.verify.prepare.connmark`). A new connection's mark
   has the bits that these rules set and no other, so what asks for other bits has one answer.
4. *REDIRECT gets its address* (:mod:`svcc.verify.prepare.redirects`), which is DNAT to an address
   of the node. It comes behind 2, which adds no translation.
5. *Excluded virtual servers are left out* (:mod:`svcc.verify.prepare.excluded_servers`). Those
   inside ``excludeCIDRs`` are somebody else's, and kube-proxy and svcc let them be.
6. *Virtual IPs are told* (:mod:`svcc.verify.prepare.virtual_addresses`) where no text of the dummy
   device was given.

Two rule sets are compared as they stand (``as_they_stand``): then 2 is left out, as the one text
may have the kubelet's chains and the other not, and that is a difference; and 5, as what counts
is what becomes of every packet, whoever decides it. The rules of another iptables variant are
taken as they stand, too: the kubelet's chains would be put in twice.

No step changes the rules that it is given. Unchanged chains and rules are shared.
"""

from __future__ import annotations

from dataclasses import dataclass

from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.prepare.connmark import with_plain_marks
from svcc.verify.prepare.excluded_servers import without_others
from svcc.verify.prepare.kubelet import with_kubelet
from svcc.verify.prepare.redirects import with_redirects
from svcc.verify.prepare.termination import Endless, check_ends
from svcc.verify.prepare.virtual_addresses import with_addresses
from svcc.verify.spec import kube_proxy_ipvs, kube_proxy_nftables


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rules as they are judged.

    ``settings`` are the node's as the writer of the rules takes them. With ``endless`` walks
    neither model can be asked about the rules.
    """

    rules: RuleSet
    settings: NodeSettings
    endless: tuple[Endless, ...]


def prepare(rules: RuleSet, settings: NodeSettings, *, as_they_stand: bool = False) -> Prepared:
    """The rules as they are judged; ``rules`` is not changed.

    ``as_they_stand``: what other programs add to them, or own of them, is left as it is.
    """
    endless = tuple(check_ends(rules))
    node = kube_proxy_nftables.settings_for(kube_proxy_ipvs.settings_for(settings, rules), rules)
    if not as_they_stand:
        rules = with_kubelet(rules)
    rules = with_plain_marks(rules)
    rules = with_redirects(rules, node.addresses)
    if not as_they_stand:
        rules = without_others(rules, node.ipvs.exclude_networks)
    rules = with_addresses(rules, node.addresses)
    return Prepared(rules, node, endless)
