"""A sweep's own parts: they join our tables while they are needed, act as ours do, and are refused by name."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.initializers import INITIALIZERS
from models.networks import NETWORKS
from models.regularizers import REGULARIZERS, Layer, LayerPenalty, NetworkPenalty, layers_of
from search_spaces.recipes import he_l2
from search_spaces.sweep import Scale, Sweep
from study.config import TrialConfig
from study.datasets import load_dataset
from study.planning.names import check_names
from study.planning.plan import make_plan
from study.planning.user_file import code_digest
from study.run import main
from study.store.code import read_code, write_code
from study.store.run_file import open_run_file, save_run_file
from study.store.storage import Storage
from study.sweeps import NamedSweep, load_sweep
from study.trainer import train
from study.training.own_parts import TABLES, joined, parts_of
from study.training.part_checks import checked

MINE = '''"""Mine?"""
from search_spaces.sweep import Scale, Sweep
from my_penalty import lasso


def full(progress, cutoff, phase_ends):
    """Always on."""
    return 1.0


sweep = Sweep(
    compare={"regularizer": ("l2", "lasso")},
    fixed={"depth": 8, "batch_size": 256, "regularizer_schedule": "full"},
    scales={"quick": Scale(fixed={"dataset": "digits", "steps": 3})},
    confirm_seeds=1,
    parts={"regularizer": {"lasso": lasso}, "schedule": {"full": full}},
)
'''
LASSO = "def lasso(weight, layer):\n    return weight.abs().sum()\n"


def l2(weight: Tensor, layer: Layer) -> Tensor:
    return 0.5 * weight.square().sum()


def l2_gradient(weight: Tensor, layer: Layer) -> Tensor:
    return weight


def upper_half(weight: Tensor, layer: Layer) -> Any:
    return l2(weight, layer) * layer.stage if layer.index > layer.depth // 2 else 0.0


class Scaled(nn.Module):
    """tanh, learnable."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(()))

    def reset_parameters(self) -> None:
        nn.init.constant_(self.scale, 2.0)

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * features.tanh()


class Forgetful(Scaled):
    """What cannot set its parameters."""

    reset_parameters = property()  # hasattr says no


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "my_penalty.py").write_text(LASSO)
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


def gradients(network: Any, name: str) -> list[Tensor]:
    """What the penalty of that name adds to each parameter's gradient."""
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    NetworkPenalty(network, name).add_gradients_(0.3)
    return [parameter.grad for parameter in network.parameters()]


@pytest.mark.parametrize("part", [l2, (l2, l2_gradient)], ids=["value alone", "closed form"])
def test_an_own_penalty_acts_as_ours_of_the_same_formula(part: Any) -> None:
    network = NETWORKS["plain"](8, width=4).double().to(memory_format=torch.channels_last)
    with joined({"regularizer": {"mine": part}}):
        torch.testing.assert_close(gradients(network, "mine"), gradients(network, "l2"), rtol=1e-12, atol=0.0)
        ours, own = (NetworkPenalty(network, name).value() for name in ("l2", "mine"))
    torch.testing.assert_close(own, ours, rtol=1e-12, atol=0.0)


def test_a_penalty_sees_which_layer_it_is_given() -> None:
    network = NETWORKS["plain"](14, width=4)
    assert layers_of(network)[5] == Layer(index=5, stage=1, stride=2, depth=14)
    with joined({"regularizer": {"mine": upper_half}}):
        gradients(network, "mine")
    for layer, conv in zip(layers_of(network), network.convs, strict=True):
        expected = 0.3 * layer.stage * conv.weight if layer.index > 7 else torch.zeros_like(conv.weight)
        torch.testing.assert_close(conv.weight.grad, expected)


def test_every_kind_of_part_trains_a_net_and_leaves_with_its_block() -> None:
    data, tables = load_dataset("digits"), {kind: set(table) for kind, table in TABLES.items()}
    parts = {
        "regularizer": {"mine": upper_half},
        "initializer": {"xavier": lambda weight, generator: nn.init.xavier_normal_(weight, generator=generator)},
        "activation": {"scaled": Scaled, "sine": torch.sin},
        "schedule": {"waves": lambda progress, cutoff, phase_ends: 1.0 - progress % 0.5},
        "optimizer": {"nadam": lambda parameters, config, learning_rate: torch.optim.NAdam(parameters, learning_rate)},
        "dataset": {"mine": lambda: (data.train.images, data.train.labels, data.test.images, data.test.labels)},
    }
    names = {"regularizer": "mine", "initializer": "xavier", "optimizer": "nadam", "learning_rate_schedule": "waves"}
    with joined(checked(parts)):
        for activation in parts["activation"]:
            config = TrialConfig(dataset="mine", depth=8, steps=4, batch_size=64, activation=activation, **names)
            (record,) = train(config, load_dataset("mine"))
            assert math.isfinite(record.train_loss)
            assert record.learning_rate == pytest.approx(0.1 * 0.75)  # at step 4 of 4
    assert {kind: set(table) for kind, table in TABLES.items()} == tables


def test_an_activations_own_parameters_start_where_it_sets_them() -> None:
    with joined({"activation": {"scaled": Scaled}}):
        network = NETWORKS["plain"](8, width=4, activation="scaled")
    assert [unit.scale.item() for unit in network.activations] == [2.0] * 7
    assert {unit.weight.item() for unit in NETWORKS["residual"](8, width=4, activation="PReLU").activations} == {0.25}


FAULTY = {
    "unknown kind": ({"optimiser": {}}, "unknown kind of parts 'optimiser': known are activation, "),
    "no dict": ({"schedule": ("a",)}, "parts: schedule = ('a',): give a dict"),
    "taken": ({"activation": {"GELU": torch.sin}}, "parts: activation 'GELU' is one of ours: give it another name"),
    "odd name": ({"schedule": {"a,b": min}}, "parts: schedule 'a,b': a name is of letters"),
    "no function": ({"regularizer": {"mine": 3}}, "parts: regularizer 'mine' = 3: give a function"),
    "wrong gradient": (
        {"regularizer": {"mine": (l2, lambda weight, layer: 2 * weight)}},
        "parts: regularizer 'mine': its gradient at a weight (8, 4, 3, 3) is not that of its value: autograd's is up",
    ),
    "shape of gradient": (
        {"regularizer": {"mine": (l2, lambda weight, layer: weight.sum())}},
        "parts: regularizer 'mine': its gradient at a weight (8, 4, 3, 3) is not that of its value",
    ),
    "no dependence": (
        {"regularizer": {"mine": lambda weight, layer: weight.detach().sum()}},
        "parts: regularizer 'mine': its value does not depend on the weight",
    ),
    "many values": (
        {"regularizer": {"mine": lambda weight, layer: weight.flatten()[:2]}},
        "parts: regularizer 'mine': its value of a weight (8, 4, 3, 3) is [",
    ),
    "one argument": (
        {"regularizer": {"mine": lambda weight: weight.sum()}},
        "parts: regularizer 'mine' does not work: TypeError: ",
    ),
    "not in place": (
        {"initializer": {"mine": lambda weight, generator: torch.zeros_like(weight)}},
        "parts: initializer 'mine': it does not fill a weight (8, 4, 3, 3) in place",
    ),
    "other generator": (
        {"initializer": {"mine": lambda weight, generator: nn.init.xavier_normal_(weight)}},
        "parts: initializer 'mine': it draws from another generator",
    ),
    "halved": ({"activation": {"mine": nn.GLU}}, "parts: activation 'mine'"),
    "random": ({"activation": {"mine": nn.RReLU}}, "parts: activation 'mine': it draws at random"),
    "no reset": (
        {"activation": {"mine": Forgetful}},
        "parts: activation 'mine': it has parameters and no reset_parame",
    ),
    "beyond 1": (
        {"schedule": {"mine": lambda progress, cutoff, phase_ends: 2.0}},
        "parts: schedule 'mine': at progress 0.0 it answers 2.0, not a number from 0 to 1",
    ),
    "fixed rate": (
        {"optimizer": {"mine": lambda parameters, config, learning_rate: torch.optim.SGD(parameters, lr=0.1)}},
        "parts: optimizer 'mine': its learning rate is not the tensor that it is given",
    ),
    "no optimizer": (
        {"optimizer": {"mine": lambda parameters, config, learning_rate: None}},
        "parts: optimizer 'mine': it answers None, not a torch.optim.Optimizer",
    ),
}


@pytest.mark.parametrize("case", FAULTY)
def test_a_part_that_is_not_sound_is_refused_in_a_line(case: str) -> None:
    parts, message = FAULTY[case]
    with pytest.raises(ValueError, match="^" + re.escape(message)) as caught:
        checked(parts)
    assert "\n" not in str(caught.value)


def test_names_are_known_while_their_parts_are_there(mine: Path) -> None:
    named = load_sweep(str(mine))
    plan = make_plan(named)
    with joined(named.sweep.parts):
        check_names(plan)
    with pytest.raises(ValueError, match=r"unknown regularizer(_schedule 'full'| 'lasso')"):
        check_names(plan)


def test_the_command_line_tells_of_a_part_in_a_line(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mine.parent / "my_penalty.py").write_text("def lasso(weight, layer):\n    return weight.abs().item()\n")
    assert main([str(mine), "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: parts: regularizer 'lasso' does not work: RuntimeError")
    assert said.count("\n") == 1


def test_a_sweep_without_a_file_may_have_no_parts_but_data() -> None:
    sweep = Sweep(
        compare={"depth": (8,), "recipe": {"he_l2": he_l2}},
        scales={"quick": Scale(fixed={"dataset": "digits", "steps": 3})},
        parts={"schedule": {"full": lambda *_: 1.0}},
    )
    with pytest.raises(ValueError, match=r"mine has parts and no file, .* load_sweep\('my_sweep.py'\)"):
        make_plan(NamedSweep("mine", "Mine?", sweep))


def kept(mine: Path, storage: Storage) -> None:
    """Begin a run, as `study.prepare` does."""
    plan = make_plan(load_sweep(str(mine)))
    content = open_run_file(storage, plan)
    write_code(storage, plan.code)
    save_run_file(storage, content)


def test_a_copy_of_the_code_stays_with_the_run_and_is_all_it_takes(mine: Path, tmp_path: Path) -> None:
    storage = Storage.at(tmp_path / "run")
    kept(mine, storage)
    (mine.parent / "my_penalty.py").unlink()
    mine.unlink()
    with joined(parts_of(read_code(storage))):
        assert isinstance(REGULARIZERS["lasso"], LayerPenalty)
        assert REGULARIZERS["lasso"].value(torch.full((2, 1, 1, 1), -3.0), None).item() == 6.0


def test_a_copy_that_is_missing_or_changed_is_told_in_a_line(mine: Path, tmp_path: Path) -> None:
    storage = Storage.at(tmp_path / "run")
    kept(mine, storage)
    copy = tmp_path / "run" / "code" / "my_penalty.py"
    for text in (LASSO.replace("abs()", "square()"), "def"):
        copy.write_text(text)
        with pytest.raises(ValueError, match=r"run/code has changed since the run was made: [^\n]+$"):
            read_code(storage)
    copy.unlink()
    with pytest.raises(ValueError, match=r"run/code/my_penalty.py is missing, [^\n]+$"):
        read_code(storage)


def test_a_run_goes_on_with_the_same_code_and_is_refused_with_other(mine: Path, tmp_path: Path) -> None:
    storage = Storage.at(tmp_path / "run")
    kept(mine, storage)
    mine.write_text("# a remark\n" + MINE.replace("confirm_seeds=1", "confirm_seeds=5").replace("Always on", "On"))
    assert open_run_file(storage, make_plan(load_sweep(str(mine))))["confirm_seeds"] == 5
    (mine.parent / "my_penalty.py").write_text(LASSO.replace("abs()", "square()"))
    with pytest.raises(ValueError, match="the code of the sweep's own parts has changed"):
        open_run_file(storage, make_plan(load_sweep(str(mine))))


def test_a_part_that_stands_in_the_sweep_itself_is_code_too() -> None:
    texts = [
        f"sweep = Sweep(trials_per_cell={n}, parts={{'schedule': {{'a': lambda *_: {x}}}}})"
        for n, x in ((1, 0), (2, 0), (2, 1))
    ]
    first, longer, other = (code_digest({"mine.py": text}) for text in texts)
    assert first == longer != other


def test_sweeps_without_parts_declare_what_they_always_did(tiny_plan: Any) -> None:
    assert "parts" not in tiny_plan.declaration()
    assert INITIALIZERS.keys() == {"he", "orthonormal", "delta_orthogonal", "dirac"}
