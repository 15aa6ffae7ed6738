"""The window starts on the contract: it must load nothing heavy."""

from __future__ import annotations

import subprocess
import sys


def test_the_contract_loads_no_numpy() -> None:
    program = (
        "import sys; import trainer.contract.run_folder, trainer.contract.requests, trainer.contract.spec; "
        "print(sorted({'numpy', 'torch', 'sympy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
