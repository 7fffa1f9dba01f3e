"""What Z3 found, as plain values."""

from __future__ import annotations

import z3


def decode(model: z3.ModelRef) -> dict[str, int | bool]:
    """The bit vectors and truth values of a model, by name.

    Rationals are left out: shares are computed anew, exactly, by the simulator.
    """
    values: dict[str, int | bool] = {}
    for declaration in model.decls():
        found = model[declaration]
        if z3.is_bv_value(found):
            values[declaration.name()] = found.as_long()
        elif z3.is_true(found) or z3.is_false(found):
            values[declaration.name()] = z3.is_true(found)
    return values
