"""The properties, each an English sentence.

What violates one is a formula in :mod:`svcc.verify.proof.obligations` and a judgement of one packet
in :mod:`svcc.verify.confirm.judge`.
"""

from __future__ import annotations

REACHES = "reaches-exactly"
FAIR = "fair"
CAPTURES = "captures-nothing-else"
MASQUERADES = "masquerades-exactly"
REFUSES = "refuses-exactly"
LETS_THROUGH = "lets-through"
ENDS = "ends"
POLICY = "policy"
LEFT_OUT = "left-out"
SAME = "same-behaviour"
SELECTS = "selects-exactly"
FITS = "fits-together"
NAMES = "names-exactly"
ANSWERED = "answers-are-served"
GIVEN = "all-given"

SENTENCES = {
    GIVEN: "all that decides was given and looked at",
    SELECTS: "slices hold exactly the Pods that their Service selects, as these are",
    FITS: "selectors, ports and workloads of manifests fit each other",
    NAMES: "each name answers what the objects ask, and no other name answers",
    ANSWERED: "each address and port that a cluster IP's name answers is proved to be served",
    REACHES: "every sender reaches exactly the selected backends",
    FAIR: "each backend gets an equal share, and with affinity a client returns to its backend",
    CAPTURES: "a packet for no frontend is left alone",
    MASQUERADES: "the source is rewritten exactly when it must be",
    REFUSES: "what has no backend to reach is refused or dropped, and nothing else is",
    LETS_THROUGH: "replies, marked packets and health checks are accepted, invalid ones dropped",
    ENDS: "every walk through the rules ends",
    POLICY: "the statements of the policy hold",
    SAME: "both rule sets do the same to every packet",
    LEFT_OUT: "what ordinary code left out of the proofs has no part in them",
}
