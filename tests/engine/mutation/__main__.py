"""`python -m tests.engine.mutation [DIR]`: hold a policy's mutants against its judges, name the survivors."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.commands import SHIPPED
from tests.engine.mutation.score import share, table, tried

results = []
for each in tried(Path(sys.argv[1]) if sys.argv[1:] else SHIPPED):
    results.append(each)
    if each.fate == "survived":
        print(f"{each.mutant.place}  {each.mutant.name}")
print(table(results))
print(f"{share(results):.1%} of {len(results)} mutants are caught")
