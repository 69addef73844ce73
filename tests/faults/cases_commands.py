"""Command lines, recipes, names of runs, and outputs that cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bntt.models import mlp
from tests.faults.case import Case, adder
from tests.faults.user import SMALL, bntt, called, shell, trained

CASES: list[Case] = []
case = adder(CASES)


def override(fault: int, what: str, setting: str, expect: str) -> None:
    case(fault, what, expect)(lambda tmp: bntt("train", "demo", *SMALL, "-s", setting, "--root", str(tmp)))


override(1, "a misspelt key", "network.num_step=4", r"exit 2: .*unknown key; did you mean 'num_steps'")
case(1, "a misspelt option", r"exit 2: .*--nmae")(lambda tmp: bntt("train", "demo", "--nmae", "x"))
case(1, "a misspelt verb", r"exit 2: .*unknown verb 'tarin'; did you mean 'train'")(lambda tmp: bntt("tarin", "demo"))
for value in ("0", "-1", "2.5", '"25 "', "1000000000"):
    override(2, f"num_steps = {value}", f"network.num_steps={value}", r"exit 2: .*network.num_steps: ")
override(3, "num_steps = 1", "network.num_steps=1", r"exit 0")
case(3, "num_steps = 1000 (γ for every step)", r"ok: \[1000, 16\]")(
    lambda tmp: called(lambda: list(mlp(num_steps=1000, width=1 / 16).blocks["fc1"].norm.gamma.shape))
)
override(4, "lr = -0.1", "train.lr=-0.1", r"exit 2: .*train.lr: ")
override(4, "lr = nan", "train.lr=nan", r"exit 2: .*train.lr: ")
override(4, "lr = inf", "train.lr=inf", r"exit 2: .*train.lr: ")
override(4, "lr = 1e30", "train.lr=1e30", r"exit 6: .*first seen in")
override(4, "lr = 0 (allowed, with a warning on the screen)", "train.lr=0.0", r"exit 0")
case(87, "64 threads asked for, and recorded how many there were", r'exit 0: "threads": N,')(
    lambda tmp: shell(
        f"OMP_NUM_THREADS=64 bntt train demo {' '.join(SMALL)} --root {tmp} >/dev/null && "
        f"grep threads {tmp}/demo/environment.json | sed 's|[0-9][0-9]*|N|; s|^ *||' >&2"
    )
)
silent = " ".join([*SMALL, "-s network.threshold=1000"])
case(
    59, "nothing is learned, for no layer ever fires (a warning after the epoch)", r"exit 0: warning: epoch 1 learned"
)(lambda tmp: shell(f"bntt train demo {silent} --root {tmp} | grep 'learned nothing' >&2"))
override(5, "batch_size = 0", "train.batch_size=0", r"exit 2: .*train.batch_size: ")
override(5, "batch_size = -1", "train.batch_size=-1", r"exit 2: .*train.batch_size: ")
override(5, "batch_size larger than the dataset (one batch)", "train.batch_size=99999", r"exit 0")
override(6, "epochs = 0", "train.epochs=0", r"exit 2: .*train.epochs: ")
override(7, "leak = 1.5", "network.leak=1.5", r"exit 2: .*network.leak: ")
override(7, "leak = -0.1", "network.leak=-0.1", r"exit 2: .*network.leak: ")
override(7, "leak = nan", "network.leak=nan", r"exit 2: .*network.leak: ")
override(7, "threshold = 0", "network.threshold=0.0", r"exit 2: .*network.threshold: ")
override(7, "leak = 1 (an integrator)", "network.leak=1.0", r"exit 0")


def recipe_file(fault: int, what: str, content: bytes | None, expect: str, make=None) -> None:
    def do(tmp: Path) -> str:
        path = tmp / "mine.toml"
        make(path) if make else path.write_bytes(content or b"")
        return bntt("show", str(path))

    case(fault, what, expect)(do)


recipe_file(8, "an empty recipe", b"", r"exit 2: .*data: is missing")
recipe_file(8, "a truncated recipe", b"seed = 1\ndata = { name = ", r"exit 2: .*is not TOML")
recipe_file(8, "a key twice", b"seed = 1\nseed = 2\n", r"exit 2: .*is not TOML")
recipe_file(8, "a recipe that is not UTF-8", b"\xff\xfe", r"exit 2: .*is not UTF-8")
recipe_file(8, "a recipe of 2 MB", b"#" * (1 << 21), r"exit 2: .*at most 1,048,576")
recipe_file(8, "a folder as recipe", None, r"exit 2: .*no recipe", Path.mkdir)
recipe_file(8, "a named pipe as recipe", None, r"exit 2: .*no recipe", os.mkfifo)
recipe_file(9, "code in a recipe", b'_target_ = "os.system"', r"exit 2: .*unknown key")
override(10, "a network that does not fit the images", "network.name=vgg9", r"exit 2: .*image_size=28 cannot be halved")
override(11, "seed = -1", "seed=-1", r"exit 2: .*seed: ")
override(11, "seed = 2**63", "seed=9223372036854775808", r"exit 2: .*seed: ")
override(11, "seed = abc", "seed=abc", r"exit 2: .*seed: ")
override(11, "seed = 2**32 (allowed)", "seed=4294967296", r"exit 0")
for label, name in (
    ("../x", "../x"),
    ("/etc/x", "/etc/x"),
    ("a NUL byte", "a\0b"),
    ("300 characters", "x" * 300),
    ("only spaces", " "),
):
    case(12, f"a run's name of {label}", r"exit 2: .*one folder name of at most 100")(
        lambda tmp, name=name: bntt("train", "demo", "--name", name, "--root", str(tmp)).replace("x" * 300, "xxx...")
    )


@case(13, "a reader that closes the pipe", r"ok: no traceback")
def closed_pipe(tmp: Path) -> str:
    command = f"{sys.executable} -m bntt list recipes | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    return "ok: no traceback" if "Traceback" not in done.stderr else done.stderr


case(13, "a closed output", r"exit 0:$")(lambda tmp: shell("bntt list recipes >&-"))
case(13, "a full output", r"exit 5: bntt: standard output cannot be written: No space left on device$")(
    lambda tmp: shell("bntt list recipes > /dev/full")
)
case(13, "an output in ASCII, for tables with γ and ± (they become question marks)", r"exit 0:$")(
    lambda tmp: shell(f"PYTHONIOENCODING=ascii bntt activity {trained(tmp)}")
)


case(2, "recompute = 0", r'exit 2: .*compute.recompute: must be "auto", "never" or a whole number, 1 or more')(
    lambda tmp: bntt("show", "demo", "-s", "compute.recompute=0")
)
case(1, "a misspelt norm", r"exit 2: .*network.norm: must be .*did you mean 'bntt'\?")(
    lambda tmp: bntt("show", "demo", "-s", "network.norm=bnnt")
)
case(10, "several draws of direct coding", r"exit 2: .*--draws 3: direct coding is not random")(
    lambda tmp: bntt("evaluate", str(trained(tmp, "encoder.name=direct")), "--draws", "3")
)
for value in ("0.0", "1.0"):
    override(34, f"data.validation = {value}", f"data.validation={value}", r"exit 2: .*data.validation: ")
override(65, "label_smoothing = 1.5", "train.label_smoothing=1.5", r"exit 2: .*train.label_smoothing: ")
