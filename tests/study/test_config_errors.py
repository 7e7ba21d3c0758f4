# ruff: noqa: E501 (messages stand whole)
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pumalib.errors import ConfigError
from pumalib.study.file import load_merged_study, load_study

NAME_RULE = "letters, digits and + . _ = -, beginning with a letter or digit"
SOURCES = "digits, mnist, fashion_mnist, cifar10, cifar100, svhn, cifar10_files, folder, tiny_imagenet or npz"
KINDS = (
    "browse, class_groups, comparison, cost, cost_frontier, epsilon_distribution, gate, generated_rows, kept_epochs, leaderboard, "
    "margin_classes, margin_histogram, nearest_neighbours, primary, pruned_rows, ratio_curves, robustness_curves, score_agreement, suspects, "
    "trade_off or training_curves"
)
POLICIES = "fixed, margin, mean_of_margin, shuffled_margin, online_margin, iaat or cat"

UNKNOWN_KEYS = [
    ("sedes", [1], 'got "sedes"; did you mean "seeds"? at sedes'),
    ("threat|epsilom", 1, 'got "epsilom"; did you mean "epsilon"? at threat.epsilom'),
    ("datasets|digits|test_fracton", 1, 'did you mean "test_fraction"? at datasets.digits.test_fracton'),
    ("generators|edm|widht", 1, 'did you mean "width"? at generators.edm.widht'),
    ("pools|digits+100|synthetic|cout", 1, 'did you mean "count"? at pools.digits+100.synthetic.cout'),
    ("defaults|training|betta", 1, 'did you mean "beta"? at defaults.training.betta'),
    ("defaults|architecture", {"name": "mlp", "widht": 8}, 'did you mean "width"? at defaults.architecture.widht'),
    ("runs|trades|prunes", [], 'did you mean "prune"? at runs.trades.prunes'),
    ("runs|trades|training|betta", 1, 'did you mean "beta"? at runs.trades.training.betta'),
    (
        "runs|trades|prune",
        [{"by": "random", "fracton": 0.1}],
        'did you mean "fraction"? at runs.trades.prune[0].fracton',
    ),
    ("runs|puma|epsilon|gab", 1, 'did you mean "gap"? at runs.puma.epsilon.gab'),
    ("scores|margin|shard", 1, 'did you mean "shards"? at scores.margin.shard'),
    ("scores|margin|model", {"rum": "trades"}, 'did you mean "run"? at scores.margin.model.rum'),
    ("attacks|cw|step", 1, 'did you mean "steps"? at attacks.cw.step'),
    ("reports|table|base", 1, 'did you mean "baseline"? at reports.table.base'),
]

UNKNOWN_NAMES = [
    ("runs|trades|pool", "digits+10", 'a pool, got "digits+10"; did you mean "digits+100"? at runs.trades.pool'),
    ("defaults|pool", "rael", 'a pool, got "rael"; did you mean "real"? at scores.margin.pool'),
    ("runs|pruned|prune", [{"by": "margn", "drop": "easiest", "fraction": 0.1}],
     'a score, got "margn"; did you mean "margin"? at runs.pruned.prune[0].by'),
    ("runs|pruned|prune", [{"by": "margin", "drop": "easiest", "fraction": 0.1, "ties_by": "lss"}],
     'a score, got "lss"; valid: margin at runs.pruned.prune[0].ties_by'),
    ("runs|puma|start_from", "trads", 'a run, got "trads"; did you mean "trades"? at runs.puma.start_from'),
    ("runs|puma|epsilon|score", "margn", 'a score, got "margn"; did you mean "margin"? at runs.puma.epsilon.score'),
    ("scores|margin|model", "trade", 'a run, got "trade"; did you mean "trades"? at scores.margin.model'),
    ("scores|margin|pool", "digits", 'a pool, got "digits"; did you mean "digits+100"? at scores.margin.pool'),
    ("pools|real|dataset", "digit", 'a dataset, got "digit"; did you mean "digits"? at pools.real.dataset'),
    ("pools|digits+100|synthetic|generator", "emd",
     'a generator, got "emd"; did you mean "edm"? at pools.digits+100.synthetic.generator'),
    ("generators|edm|dataset", "digit", 'a dataset, got "digit"; did you mean "digits"? at generators.edm.dataset'),
    ("reports|trade-off|attack", "cv", 'an attack, got "cv"; did you mean "cw"? at reports.trade-off.attack'),
    ("reports|table|attacks", ["cw", "pgd"], 'an attack, got "pgd"; valid: cw at reports.table.attacks[1]'),
    ("reports|table|runs", ["trads"], 'a run, got "trads"; did you mean "trades"? at reports.table.runs[0]'),
    ("reports|table|baseline", "trads", 'a run, got "trads"; did you mean "trades"? at reports.table.baseline'),
    ("reports|table|control", "pum", 'a run, got "pum"; did you mean "puma"? at reports.table.control'),
]  # fmt: skip

IMPOSSIBLE_VALUES = [
    ("threat|epsilon", 0, "expected epsilon to be greater than 0, got 0 at threat.epsilon"),
    ("threat|epsilon", -0.1, "expected epsilon to be greater than 0, got -0.1 at threat.epsilon"),
    ("threat|epsilon", "0/255", "expected epsilon to be greater than 0, got 0.0 at threat.epsilon"),
    ("threat|epsilon", "8/0", 'expected a fraction with a denominator other than 0, got "8/0" at threat.epsilon'),
    ("threat|epsilon", "eight", 'expected a number or a fraction such as "8/255", got "eight" at threat.epsilon'),
    ("threat|epsilon", float("nan"), "expected epsilon to be a finite number, got nan at threat.epsilon"),
    ("defaults|training|learning_rate", float("inf"),
     "expected learning_rate to be a finite number, got inf at defaults.training.learning_rate"),
    ("threat|norm", "l1", """expected norm linf or l2, got 'l1'; did you mean "l2"? at threat.norm"""),
    ("attacks|cw|norm", "l2", "expected the threat's norm linf, got l2 at attacks.cw.norm"),
    ("attacks|cw|num_images", 1, "expected num_images to be greater than or equal to 2, got 1 at attacks.cw.num_images"),
    ("scores|margin|norm", "l2",
     "expected margins in the threat's norm linf, got l2 from score margin at runs.puma.epsilon.score"),
    ("runs|pruned|prune", [{"by": "margin", "drop": "easiest", "fraction": 1.2}],
     "expected fraction to be less than 1, got 1.2 at runs.pruned.prune[0].fraction"),
    ("runs|pruned|prune", [{"by": "margin", "drop": "easiest", "fraction": -0.1}],
     "expected fraction to be greater than or equal to 0, got -0.1 at runs.pruned.prune[0].fraction"),
    ("runs|pruned|prune", [{"by": "margin", "drop": "easiest", "fraction": "a lot"}],
     "expected fraction to be a number, got 'a lot' at runs.pruned.prune[0].fraction"),
    ("runs|pruned|prune", [{"by": "margin", "drop": "easiest"}],
     "expected exactly one of fraction, below, at_most, at_least, above, got none at runs.pruned.prune[0]"),
    ("runs|pruned|prune", [{"by": "margin", "drop": "easy", "fraction": 0.1}],
     """expected drop easiest, hardest or extremes, got 'easy'; did you mean "easiest"? at runs.pruned.prune[0].drop"""),
    ("runs|pruned|prune", [{"by": "margin", "fraction": 0.1}],
     "expected drop: easiest, hardest or extremes beside fraction at runs.pruned.prune[0]"),
    ("runs|pruned|prune", [{"by": "margin", "at_least": 0.1, "ties_by": "loss"}],
     "expected ties_by only with a fraction of a score: no other cut has ties to break at runs.pruned.prune[0]"),
    ("runs|pruned|prune", [{"by": "random", "fraction": 0.1, "ties_by": "loss"}],
     "expected ties_by only with a fraction of a score: no other cut has ties to break at runs.pruned.prune[0]"),
    ("runs|pruned|prune", [{"by": "margin", "drop": "easiest", "fraction": 0.1, "ties_by": "margin"}],
     "expected another score than margin as ties_by, got margin; leave it out at runs.pruned.prune[0]"),
    ("runs|puma|start_from", {"run": "trades", "checkpoint": "a.pt"},
     "expected exactly one of run and checkpoint, got both at runs.puma.start_from"),
    ("runs|puma|start_from", {"run": "trades", "weights": "model"},
     "expected weights only with checkpoint; a run has its averaged ones alone at runs.puma.start_from"),
    ("runs|puma|start_from", {"checkpoint": "no.pt"},
     "expected a file, found none at no.pt, named at runs.puma.start_from.checkpoint"),
    ("runs|puma|start_from", "puma",
     "expected runs, scores, pools and generators without a cycle, got runs.puma -> runs.puma; train the model they look through, "
     "or start from, first"),
    ("runs|trades|start_from", "puma",
     "without a cycle, got runs.trades -> runs.puma -> scores.margin -> runs.trades; train"),
    ("runs|other", {"architecture": {"name": "mlp", "width": 5}, "start_from": "trades"},
     "expected a run of the architecture of other (mlp), got trades (mlp with other settings) at runs.other.start_from"),
    ("runs|pruned|prune", {"by": "random"}, "expected prune to be a list, got {'by': 'random'} at runs.pruned.prune"),
    ("defaults|architecture", "resnet18", 'got "resnet18"; did you mean "resnet-18"? at defaults.architecture.name'),
    ("defaults|architecture", "wrn-27-10", "expected a depth of 6n + 4 (10, 16, 22, 28, ...), got 27"),
    ("defaults|architecture", {"name": "mlp", "mean": [0, 0, 0], "std": [1, 1, 1]},
     "expected mean and std of 1 values, one per image channel, got 3 at runs.trades.architecture"),
    ("datasets|digits", {"source": "npz", "train": "no.npz", "test": "no.npz"},
     "expected a file, found none at no.npz, named at datasets.digits.train"),
    ("datasets|digits", {"source": "folder", "path": "no", "image_size": 8},
     "expected a folder or a tar file, found none at no, named at datasets.digits.path"),
    ("pools|real|synthetic", {"method": "npz", "path": "no.npz"},
     "expected a file, found none at no.npz, named at pools.real.synthetic.path"),
    ("scores|margin|model", {"checkpoint": "no.safetensors"},
     "expected a file, found none at no.safetensors, named at scores.margin.model.checkpoint"),
    ("scores|margin|model", {"checkpoint": "no.safetensors", "run": "trades"},
     "expected exactly one of run and checkpoint, got both at scores.margin.model"),
    ("scores|margin|model", {"checkpoint": "no.pt"},
     "expected the architecture of no.pt, no model.safetensors of this library, got none at scores.margin.model"),
    ("scores|margin|model", {"checkpoint": "no.pt", "architecture": "resnet18"},
     'got "resnet18"; did you mean "resnet-18"? at scores.margin.model.architecture.name'),
    ("scores|margin|model", {"checkpoint": "no.pt", "architecture": "mlp"},
     "expected a file, found none at no.pt, named at scores.margin.model.checkpoint"),
    ("scores|margin|model", {"checkpoint": "study.yaml", "architecture": {"name": "wrn-10-1", "mean": [0, 0, 0], "std": [1, 1, 1]}},
     "expected mean and std of 1 values, one per image channel, got 3 at scores.margin.model.architecture"),
    ("scores|margin|model", {"run": "trades", "architecture": "mlp"},
     "expected architecture only with checkpoint; a run brings its own at scores.margin.model"),
    ("scores|margin|model", {"checkpoint": "no.safetensors", "weights": "averaged"},
     "expected weights only with a checkpoint and its architecture at scores.margin.model"),
    ("scores|margin|model", {"checkpoint": "no.pt", "architecture": "mlp", "weights": "best"},
     "expected weights model or averaged, got 'best' at scores.margin.model.weights"),
    ("scores|margin|model", {"run": "trades", "seed": 9},
     "expected a seed among [0, 1], got 9 at scores.margin.model.seed"),
    ("scores|margin|model", {"run": "trades", "seed": 0},
     "expected the model of each seed's own split, got seed 0 for all seeds"),
    ("runs|puma|training", {"method": "natural"},
     "expected no epsilon with natural training, got policy margin at runs.puma.epsilon"),
    ("runs|trades|training", {"method": "natural", "beta": 3},
     "expected beta only with method trades, got method natural at runs.trades.training"),
    ("runs|trades|training", {"method": "trade"},
     """expected method natural, pgd_at or trades, got 'trade'; did you mean "trades"? at runs.trades.training.method"""),
    ("runs|trades|training", {"batch_size": 2, "devices": 3},
     "expected devices of at most the batch_size 2, a row each, got 3 at runs.trades.training.devices; lower it"),
    ("runs|trades|training", {"compile": True, "devices": 2},
     "expected devices 1 with compile, which does not work over several, got 2 at runs.trades.training.devices; leave"),
    ("runs|trades|training", {"batch_size": 5, "devices": 2, "nodes": 3},
     "expected devices of at most the batch_size 5, a row each, got 2 on each of 3 nodes at runs.trades.training.devices"),
    ("runs|trades|training", {"compile": True, "nodes": 2},
     "expected devices 1 with compile, which does not work over several, got 1 on each of 2 nodes at"),
    ("runs|trades|training", {"nodes": 0}, "expected nodes to be greater than 0, got 0 at runs.trades.training.nodes"),
    ("defaults|training|devices", 0, "expected devices to be greater than 0, got 0 at defaults.training.devices"),
    ("seeds", [], "expected at least 1 under seeds, got none at seeds"),
    ("seeds", [1, 1], "expected distinct seeds of at least 0, got [1, 1] at seeds"),
    ("seeds", [-1], "expected distinct seeds of at least 0, got [-1] at seeds"),
    ("seeds", ["a"], "expected seeds[0] to be a whole number, got 'a' at seeds[0]"),
    ("seeds", 3, "expected seeds to be a list, got 3 at seeds"),
    ("seeds", [True], "expected another value than true or false for seeds, got [True] at the top"),
    ("study", "../x", f"expected study of {NAME_RULE}, got '../x' at study"),
    ("runs|../x", {}, f"expected a name of {NAME_RULE}, got '../x' at runs"),
    ("attacks|a/b", {"method": "pgd"}, f"expected a name of {NAME_RULE}, got 'a/b' at attacks"),
    ("datasets|.hidden", {"source": "mnist"}, f"expected a name of {NAME_RULE}, got '.hidden' at datasets"),
    ("reports|all", {"kind": "comparison", "baseline": "trades"},
     'expected another name than "all", which is a target of the workflow, at reports'),
    ("reports|dataset", {"kind": "comparison", "baseline": "trades"},
     'expected another name than "dataset", which is a target of the workflow, at reports'),
    ("attacks|none", {"method": "pgd"}, 'expected another name than "none", which is no attack at all'),
    ("scores|random", {"method": "deepfool", "model": "trades"},
     'expected another name than "random", which is the random cut, at scores'),
    ("pools|digits+100|synthetic", {"method": "held_out"},
     "expected held_out_fraction above 0 in datasets.digits for pools.digits+100.synthetic, got 0"),
    ("pools|digits+100|dataset", "fashion",
     "expected a generator trained on fashion, the pool's dataset, got edm, trained on digits, at pools.digits+100"),
    ("reports|table|kind", "compare", f'expected kind {KINDS}, got \'compare\'; did you mean "comparison"? at reports.table'),
    ("reports|table", {"baseline": "trades"}, f"expected kind {KINDS}, got none at reports.table"),
    ("reports|table|control", "trades", 'expected a control other than the baseline, got "trades" for both at reports.table'),
    ("runs|trades|epsilon", {"policy": "fixed", "where": {"score": "cd", "above": 1}},
     'expected the name of a score, got "cd"; valid: margin at runs.trades.epsilon.where.score'),
    ("runs|trades|epsilon", {"policy": "fixed", "where": {"score": "margin", "at_leats": 1}},
     'got "at_leats"; did you mean "at_least"? at runs.trades.epsilon.where.at_leats'),
    ("runs|pruned", {"pool": "real", "epsilon": {"policy": "fixed", "where": {"score": "margin", "above": 0}}},
     "expected a score of pool real, got margin, a score of pool digits+100, at runs.pruned.epsilon.where.score"),
    ("runs|puma|epsilon|where", {"score": "margin"},
     "expected exactly one of below, at_most, at_least, above, got none at runs.puma.epsilon.where"),
    ("runs|puma|epsilon|otherwise", 0.1, "expected otherwise only beside where, got it alone at runs.puma.epsilon"),
    ("runs|trades", {"training": {"method": "natural"}, "epsilon": {"policy": "iaat", "warmup_epochs": 1}},
     "expected no epsilon with natural training, got policy iaat at runs.trades.epsilon"),
    ("runs|trades|epsilon", {"policy": "online_margin", "prune_above": "26/255", "warmup_epochs": 2},
     "expected warmup_epochs below the 2 epochs of training, got 2 at runs.trades.epsilon.warmup_epochs, "
     "which would drop no row; lower it"),
    ("runs|trades|epsilon", {"policy": "iaat"},
     "expected warmup_epochs below the 2 epochs of training, got 5 at runs.trades.epsilon.warmup_epochs, "
     "which would move no epsilon; lower it"),
    ("runs|trades", {"training": {"selective": {"fraction": 0.5}}},
     "expected attack_statistics running beside selective, got batch: statistics of the rows attacked alone would be "
     "others, at runs.trades.training.attack_statistics"),
    ("runs|puma", {"relabel": {"score": "margin"}, "epsilon": {"policy": "margin", "score": "margin", "negative": "drop"}},
     "expected no negative: drop beside relabel, which keeps such rows, at runs.puma.relabel; leave one out"),
    ("runs|puma", {"relabel": {"score": "nothing"}}, "at runs.puma.relabel.score"),
    ("runs|trades", {"training": {"dynamic_pruning": {"until": 0.6}}},
     "expected until to reach the second epoch, the first that knows losses, got 0.6 of 2 epochs at "
     "runs.trades.training.dynamic_pruning.until"),
    ("runs|trades", {"training": {"dynamic_pruning": {"until": 1}}, "epsilon": {"policy": "cat"}},
     "expected no policy cat beside dynamic_pruning, whose weights it does not know, at "
     "runs.trades.training.dynamic_pruning; leave one out"),
    ("runs|trades", {"training": {"selective": {"fraction": 1}}}, "expected fraction to be less than 1, got 1"),
    ("runs|trades", {"training": {"selective": {"fraction": 0.5, "warmup_epochs": 2}, "attack_statistics": "running"}},
     "expected warmup_epochs below the 2 epochs of training, got 2 at runs.trades.training.selective.warmup_epochs, "
     "which would look at no margin; lower it"),
    ("runs|trades", {"training": {"selective": {"fraction": 0.5}, "attack_statistics": "running"},
                     "epsilon": {"policy": "cat"}},
     "expected no policy cat beside selective: both say how rows are attacked, at runs.trades.training.selective"),
    ("runs|puma|far", {"score": "margin", "beyond": 0.1},
     "expected attack_statistics running beside far, got batch: statistics of the rows attacked alone would be others, "
     "at runs.puma.training.attack_statistics"),
    ("runs|puma", {"far": {"score": "margin", "beyond": 0.1, "steps": 2},
                   "training": {"attack_statistics": "running", "attack_steps": 2}},
     "expected fewer steps than the attack_steps 2 of other rows, got 2 at runs.puma.far.steps"),
    ("runs|puma", {"far": {"score": "margn", "beyond": 0.1}, "training": {"attack_statistics": "running"}},
     'a score, got "margn"; did you mean "margin"? at runs.puma.far.score'),
    ("runs|puma|far", {"score": "margin", "beyond": 8}, "at runs.puma.far.beyond"),
    ("runs|puma", {"far": {"score": "margin", "beyond": 0.1},
                   "training": {"attack_statistics": "running", "selective": {"fraction": 0.5}}},
     "expected no selective beside far: both say how rows are attacked, at runs.puma.far; leave one out"),
    ("runs|puma", {"far": {"score": "margin", "beyond": 0.1}, "training": {"method": "natural"}},
     "expected no far with natural training, which attacks no row, at runs.puma.far"),
    ("runs|trades|epsilon", {"policy": "iaat", "smoothing": 0},
     "expected smoothing to be greater than 0, got 0 at runs.trades.epsilon.smoothing"),
    ("runs|trades|epsilon", {"policy": "online_margin", "score": "margin"},
     'got "score"'),
    ("runs|puma|epsilon", {"score": "margin"}, f"expected policy {POLICIES}, got none at runs.puma.epsilon"),
    ("datasets|digits|source", "digit", f"expected source {SOURCES}, got 'digit'; did you mean \"digits\"? at datasets.digits"),
    ("attacks|cw", {"steps": 2}, "expected method cw_pgd, pgd, square, minimum_norm, autoattack, clean or worst_of, got none at attacks.cw"),
    ("attacks|cw", "pgd", "expected cw to be a mapping, got 'pgd' at attacks.cw"),
    ("scores|margin|method", "deepfol",
     "expected method deepfool, deepfool_published, fast_margin, refined_margin, class_center, k_center, classification_difficulty, forgetting, el2n, grand, aign, mean_loss, random, file or <module>:<function>, got 'deepfol'; did you mean \"deepfool\"? at scores.margin"),
    ("scores|margin|method", "mine:score", "expected a value for higher_is, got none at scores.margin.higher_is"),
    ("defaults|training|epochs", "many", "expected epochs to be a whole number, got 'many' at defaults.training.epochs"),
    ("defaults|training|epochs", True,
     "expected another value than true or false for epochs, got True at defaults.training"),
    ("defaults|training|horizontal_flip", "maybe", "expected horizontal_flip to be true or false, got 'maybe'"),
    ("runs", ["a"], "expected runs to be a mapping, got ['a'] at runs"),
    ("runs", {}, "expected at least 1 under runs, got none at runs"),
    ("runs|trades", "x", "expected trades to be a mapping, got 'x' at runs.trades"),
    ("runs|trades|training", "trades", "expected training to be a mapping, got 'trades' at runs.trades.training"),
    ("device", "gpu", "expected device auto, cpu or cuda, got 'gpu'"),
    ("threads", 0, "expected threads to be greater than 0, got 0 at threads"),
    ("datasets|digits|split", "official",
     "expected no test_fraction with split: official, which has a test split of its own at datasets.digits"),
    ("datasets|digits|held_out_fraction", 0.95,
     "expected validation_fraction + held_out_fraction below 1: no train rows would stay at datasets.digits"),
    ("defaults|pool", None, "expected pool to be text, got None at runs.trades.pool"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), [*UNKNOWN_KEYS, *UNKNOWN_NAMES, *IMPOSSIBLE_VALUES])
def test_study_error_is_one_sentence_with_expected_came_and_where(
    study: dict[str, Any],
    put: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    value: Any,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(put(study, path, value), sort_keys=False), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_study("study.yaml")
    assert message in str(error.value)
    assert "(study.yaml)" in str(error.value)
    assert str(error.value).startswith("expected")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "missing"), [("seeds", "seeds"), ("runs", "runs"), ("threat", "threat"), ("study", "study")]
)
def test_missing_key_of_a_study_is_named(study: dict[str, Any], key: str, missing: str) -> None:
    del study[key]
    with pytest.raises(ConfigError, match=f"expected a value for {missing}, got none at {missing}"):
        load_merged_study(study, [])


@pytest.mark.parametrize("name", [7, False])
def test_name_that_yaml_does_not_read_as_text_is_refused(study: dict[str, Any], name: object) -> None:
    study["runs"][name] = {}
    with pytest.raises(ConfigError, match=f"expected a name that is text, got {name}; put it in quotes at runs"):
        load_merged_study(study, [])


PLACES = ["study", "datasets", "generators", "pools", "scores", "runs", "attacks", "reports"]


@pytest.mark.parametrize(
    "name", ["..", "../up", "/tmp/a", "a/b", "a\\b", ".hidden", "-a", "a\0b", "a b", "", "a" * 101, "{a}"]
)
@pytest.mark.parametrize("place", PLACES)
def test_name_that_would_lead_out_of_the_results_is_refused(study: dict[str, Any], place: str, name: str) -> None:
    if place == "study":
        study["study"] = name
    else:
        study[place][name] = next(iter(study[place].values()))
    with pytest.raises(ConfigError, match=rf"expected .* at {place}"):
        load_merged_study(study, [])


def test_unknown_key_is_told_before_the_problems_it_causes(study: dict[str, Any]) -> None:
    study["threat"] = {"norm": "linf", "epsilom": 0.2}
    with pytest.raises(
        ConfigError, match=r'did you mean "epsilon"\? at threat\.epsilom \(config\) \(and 1 more problem: .*\)'
    ):
        load_merged_study(study, [])


@pytest.mark.parametrize(
    "epsilon",
    [
        {"policy": "online_margin", "prune_above": "26/255", "warmup_epochs": 1, "cap": "6/255"},
        {"policy": "online_margin", "prune_above": "4/255"},
        {"policy": "online_margin", "warmup_epochs": 10, "attack": "objective"},
        {"policy": "iaat", "warmup_epochs": 0, "step": "1.9/255", "smoothing": 1, "cap": 0.5},
        {"policy": "cat", "step": "1/255", "softening": 0, "toward": "uniform", "attack": "cw"},
        {"policy": "fixed", "epsilon": "1/255", "where": {"score": "margin", "below": 0}, "otherwise": 0},
    ],
)
def test_epsilon_policies_that_can_be_meant_are_accepted(study: dict[str, Any], epsilon: dict[str, Any]) -> None:
    study["runs"]["trades"] = {"training": {"method": "pgd_at"}}
    study["runs"]["other"] = {"epsilon": epsilon}
    run = load_merged_study(study, []).runs["other"]
    assert run.epsilon.policy == epsilon["policy"]
    assert run.scores == (("margin",) if "where" in epsilon else ())


def test_cycle_of_runs_and_scores_is_spelled_out(study: dict[str, Any]) -> None:
    study["scores"]["margin"]["model"] = "puma"
    with pytest.raises(ConfigError, match=r"without a cycle, got .*runs\.puma -> scores\.margin"):
        load_merged_study(study, [])


def test_cycle_over_two_scores_is_refused(study: dict[str, Any]) -> None:
    study["scores"] = {
        "first": {"method": "deepfool", "model": "second-run"},
        "second": {"method": "deepfool", "model": "first-run"},
    }
    study["runs"] = {
        "first-run": {"epsilon": {"policy": "margin", "score": "first"}},
        "second-run": {"epsilon": {"policy": "margin", "score": "second"}},
    }
    study["reports"] = {}
    with pytest.raises(ConfigError, match="without a cycle"):
        load_merged_study(study, [])


def test_chain_of_runs_and_scores_is_no_cycle(study: dict[str, Any]) -> None:
    study["scores"]["again"] = {"method": "deepfool", "model": "puma"}
    study["runs"]["iterated"] = {"epsilon": {"policy": "margin", "score": "again"}}
    assert load_merged_study(study, []).runs["iterated"].scores == ("again",)


def test_validation_attack_needs_validation_rows(study: dict[str, Any]) -> None:
    study["attacks"]["cw"]["split"] = "validation"
    load_merged_study(study, [])
    del study["datasets"]["digits"]["validation_fraction"]
    message = r"expected validation_fraction above 0 in datasets\.digits for attacks\.cw\.split, got 0"
    with pytest.raises(ConfigError, match=message):
        load_merged_study(study, [])
    study["datasets"]["digits"]["validation_fraction"] = 0.001  # of about 1,200 rows
    message = r"expected at least 2 validation rows in datasets\.digits for attacks\.cw\.split, got 1; raise"
    with pytest.raises(ConfigError, match=message):
        load_merged_study(study, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"method": "no_such_file:entropy"},
            "expected a score function no_such_file:entropy .*, found no no_such_file.py in the folder you run from",
        ),
        (
            {"method": "user_scores:entropi"},
            r'function entropi in module user_scores, got none; did you mean "entropy"\? at scores\.own',
        ),
        ({"method": "user_scores:TABLE"}, "expected a score function TABLE in module user_scores, got a dict"),
        (
            {"options": {"warmth": 2}},
            r"user_scores:entropy to be called with model, images, labels, warmth, got \(model,",
        ),
        ({"method": "user_scores:lonely"}, r"got \(model\): too many positional arguments; change the function"),
    ],
)
def test_function_of_one_s_own_is_looked_for_before_any_job(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str
) -> None:
    lines = ["TABLE = {}", "def entropy(model, images, labels, temperature=1.0): ...", "def lonely(model): ..."]
    (tmp_path / "user_scores.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    own = {"method": "user_scores:entropy", "model": "trades", "higher_is": "harder", "options": {"temperature": 2.0}}
    study["scores"]["own"] = own
    load_merged_study(study, [])
    study["scores"]["own"] = {**own, **change}
    with pytest.raises(ConfigError, match=message):
        load_merged_study(study, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("row,lss\n0,1\n", r"expected a column loss, got row, lss in .*csv"),
        ("row,loss\n0,1\n0,2\n", "expected each row once in .*csv, got row 0 again"),
        ("row,loss\n0,1\n2000,2\n", r"expected rows in \[0, \d+\) of the pool in .*csv, got 2000"),
        ("row,loss\n0,high\n", "expected numbers as scores in .*csv"),
    ],
)
def test_file_of_scores_is_looked_at_before_any_job(
    study: dict[str, Any], tmp_path: Path, text: str, message: str
) -> None:
    for seed in study["seeds"]:
        (tmp_path / f"loss{seed}.csv").write_text("row,loss\n0,1.5\n1,\n")
    study["scores"]["mine"] = {"method": "file", "path": str(tmp_path / "loss{seed}.csv"), "column": "loss"}
    load_merged_study(study, [])
    (tmp_path / f"loss{study['seeds'][-1]}.csv").write_text(text)
    with pytest.raises(ConfigError, match=message + r".*, named at scores\.mine\.path"):
        load_merged_study(study, [])


def test_square_attack_needs_the_linf_norm(study: dict[str, Any]) -> None:
    study["attacks"]["square"] = {"method": "square"}
    load_merged_study(study, [])
    study["threat"]["norm"] = "l2"
    with pytest.raises(
        ConfigError, match=r"another attack for norm l2, got square, which is for linf, at attacks\.square"
    ):
        load_merged_study(study, [])


def test_attack_of_an_optional_package_is_refused_without_it(
    study: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    study["attacks"]["aa"] = {"method": "autoattack"}
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    sentence = (
        r"expected the package pyautoattack for method autoattack, found none, at attacks\.aa; "
        r'pip install "pumalib\[autoattack\]"'
    )
    with pytest.raises(ConfigError, match=sentence):
        load_merged_study(study, [])


def test_an_attack_may_leave_runs_out_and_each_run_needs_one(study: dict[str, Any]) -> None:
    study["attacks"]["pgd"] = {"method": "pgd", "runs": ["puma"]}
    checked = load_merged_study(study, [])
    assert (checked.attacks_of("puma"), checked.attacks_of("trades")) == (["cw", "pgd"], ["cw"])
    study["attacks"]["pgd"]["runs"] = ["pumma"]
    with pytest.raises(ConfigError, match=r'got "pumma"; did you mean "puma"\? at attacks\.pgd\.runs\[0\]'):
        load_merged_study(study, [])
    del study["attacks"]["pgd"]
    study["attacks"]["cw"]["runs"] = ["trades", "pruned"]
    del study["reports"]
    with pytest.raises(ConfigError, match=r"each run under an attack at least, got puma under none"):
        load_merged_study(study, [])


def test_report_refuses_an_attack_that_leaves_one_of_its_runs_out(study: dict[str, Any]) -> None:
    study["attacks"]["pgd"] = {"method": "pgd", "runs": ["trades", "puma"]}
    study["reports"]["trade-off"] |= {"attack": "pgd", "runs": ["puma"]}
    load_merged_study(study, [])
    study["reports"]["trade-off"]["runs"] = ["pruned"]
    message = r"an attack on every run of the report, got pgd, which leaves pruned out, at reports\.trade-off\.attack"
    with pytest.raises(ConfigError, match=message):
        load_merged_study(study, [])


def test_report_of_robust_accuracy_refuses_a_clean_attack(study: dict[str, Any]) -> None:
    study["attacks"]["clean"] = {"method": "clean"}
    load_merged_study(study, [])
    study["reports"]["trade-off"]["attack"] = "clean"
    with pytest.raises(
        ConfigError, match=r"expected an attack that perturbs, got clean.* at reports\.trade-off\.attack"
    ):
        load_merged_study(study, [])


def test_score_of_another_pool_is_refused(study: dict[str, Any]) -> None:
    study["runs"]["pruned"]["pool"] = "real"
    message = r"expected a score of pool real, got margin, a score of pool digits\+100, at runs\.pruned\.prune\[0\]\.by"
    with pytest.raises(ConfigError, match=message):
        load_merged_study(study, [])


def test_margin_model_of_other_images_is_refused(study: dict[str, Any]) -> None:
    study["pools"]["fashion"] = {"dataset": "fashion"}
    study["runs"]["other"] = {"pool": "fashion"}
    study["scores"]["margin"]["model"] = "other"
    message = r"expected a model of images \(8, 8, 1\), as in pool digits\+100, got run other, trained on \(28, 28, 1\)"
    with pytest.raises(ConfigError, match=message):
        load_merged_study(study, [])


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., str]:
    """Return a maker of npz files."""

    def save(name: str, shape: tuple[int, ...], num_classes: int, dtype: Any = np.uint8) -> str:
        path = tmp_path / name
        np.savez(path, image=np.zeros(shape, dtype), label=np.arange(shape[0]) % num_classes)
        return str(path)

    return save


@pytest.mark.parametrize(
    ("shape", "num_classes", "dtype", "count", "message"),
    [
        (
            (20, 9, 8, 1),
            10,
            np.uint8,
            None,
            r"expected images of shape \(8, 8, 1\), as in dataset digits, got \(9, 8, 1\)",
        ),
        ((20, 8, 8, 1), 11, np.uint8, None, r"expected labels in \[0, 10\), the classes of dataset digits, got 10"),
        ((20, 8, 8, 1), 10, np.uint8, 21, r"expected a count of at most 20, the rows of .*npz, got 21 at .*\.count"),
        ((20, 8, 8, 1), 10, np.float32, None, r"expected images as uint8 \[N, H, W, C\].* got float32"),
        ((20, 8, 8), 10, np.uint8, None, r"expected images as uint8 \[N, H, W, C\].* got uint8 \[20, 8, 8\]"),
    ],
)
def test_npz_pool_that_does_not_fit_is_refused_before_any_job(
    study: dict[str, Any],
    npz: Callable[..., str],
    shape: tuple[int, ...],
    num_classes: int,
    dtype: Any,
    count: int | None,
    message: str,
) -> None:
    path = npz("synthetic.npz", shape, num_classes, dtype)
    study["pools"]["digits+100"]["synthetic"] = {"method": "npz", "path": path, "count": count}
    with pytest.raises(ConfigError, match=message) as error:
        load_merged_study(study, [])
    assert "at pools.digits+100.synthetic" in str(error.value)


def test_npz_train_and_test_files_of_two_shapes_are_refused_before_any_job(
    study: dict[str, Any], npz: Callable[..., str]
) -> None:
    train, test = npz("train.npz", (20, 8, 8, 1), 10), npz("test.npz", (20, 8, 9, 1), 10)
    study["datasets"]["mine"] = {"source": "npz", "train": train, "test": test}
    with pytest.raises(
        ConfigError, match=r"expected images of shape \(8, 8, 1\), as in .*got \(8, 9, 1\) at .*mine\.test"
    ):
        load_merged_study(study, [])
    study["datasets"]["mine"]["test"] = train
    load_merged_study(study, [])


@pytest.mark.parametrize(
    ("key", "count", "message"),
    [
        # 40 rows: 10 are tested, 15 of the other 30 held out, and 15 left
        ("train_count", 15, None),
        ("train_count", 16, r"expected from 3, a row of each class, to 15, .*, got 16 at datasets\.mine\.train_count"),
        ("train_count", 2, r"expected from 3, .*, got 2 at datasets\.mine\.train_count"),
        ("test_count", 10, None),
        ("test_count", 11, r"expected from 3, .*, to 10, .*, got 11 at datasets\.mine\.test_count"),
        ("count", 15, None),
        ("count", 16, r"expected a count of at most 15, the rows held out, got 16 at pools\.perfect\.synthetic\.count"),
    ],
)
def test_counts_of_rows_that_are_not_there_are_refused_before_any_job(
    study: dict[str, Any], npz: Callable[..., str], key: str, count: int, message: str | None
) -> None:
    dataset = {"source": "npz", "train": npz("mine.npz", (40, 8, 8, 1), 3), "split": "seeded", "test_fraction": 0.25}
    study["datasets"]["mine"] = {**dataset, "held_out_fraction": 0.5}
    study["pools"]["perfect"] = {"dataset": "mine", "synthetic": {"method": "held_out"}}
    (study["pools"]["perfect"]["synthetic"] if key == "count" else study["datasets"]["mine"])[key] = count
    if message is None:
        load_merged_study(study, [])
        return
    with pytest.raises(ConfigError, match=message):
        load_merged_study(study, [])


def test_a_fraction_that_leaves_fewer_rows_than_classes_is_refused_before_any_job(
    study: dict[str, Any], npz: Callable[..., str]
) -> None:
    study["datasets"]["mine"] = {
        "source": "npz",
        "train": npz("mine.npz", (40, 8, 8, 1), 3),
        "test": npz("t.npz", (3, 8, 8, 1), 3),
    }
    study["pools"]["mine"], study["reports"] = {"dataset": "mine"}, {}
    study["runs"]["few"] = {"pool": "mine", "prune": [{"by": "random", "fraction": 0.92}]}  # leaves 40 - 37 rows
    load_merged_study(study, [])
    study["runs"]["few"]["prune"][0]["fraction"] = 0.95  # leaves 40 - 38
    message = r"expected at least 3 of 40 rows to stay, .*, got 2 with fraction 0\.95 at runs\.few\.prune\[0\]"
    with pytest.raises(ConfigError, match=message):
        load_merged_study(study, [])


def test_npz_labels_without_a_row_of_some_class_are_refused_before_any_job(
    study: dict[str, Any], npz: Callable[..., str]
) -> None:
    def save(name: str, labels: list[int]) -> str:
        path = npz(name, (len(labels), 8, 8, 1), 3)
        np.savez(path, image=np.zeros((len(labels), 8, 8, 1), np.uint8), label=np.array(labels))
        return path

    whole, from_one, gap = save("a.npz", [0, 1, 2] * 4), save("b.npz", [1, 2, 3] * 4), save("c.npz", [0, 2] * 4)
    study["datasets"]["mine"] = {"source": "npz", "train": from_one, "test": whole}
    message = (
        r"each of 4 classes, got none of label 0 in .*b\.npz, named at datasets\.mine\.train; number the classes 0,"
    )
    with pytest.raises(ConfigError, match=message):
        load_merged_study(study, [])
    study["datasets"]["mine"] = {"source": "npz", "train": whole, "test": gap}
    with pytest.raises(ConfigError, match=r"got none of label 1 in .*c\.npz, named at datasets\.mine\.test"):
        load_merged_study(study, [])
    study["datasets"]["mine"] |= {"split": "seeded", "test_fraction": 0.3}
    load_merged_study(study, [])  # both are divided together


def test_architecture_that_does_not_fit_the_images_is_refused(study: dict[str, Any], npz: Callable[..., str]) -> None:
    path = npz("small.npz", (20, 4, 4, 1), 10)
    study["datasets"]["digits"] = {"source": "npz", "train": path, "split": "seeded", "test_fraction": 0.5}
    study["runs"]["trades"] = {"architecture": "resnet-18"}
    with pytest.raises(ConfigError, match=r"at least 8 x 8 for resnet-18, got 4 x 4 at runs\.trades\.architecture"):
        load_merged_study(study, [])


def test_checking_a_study_imports_neither_torch_nor_image_libraries() -> None:
    code = (
        "import sys, pumalib.study.checks, pumalib.study.file, pumalib.jobs.frame, pumalib.__main__;"
        "heavy = {'torch', 'torchvision', 'sklearn', 'scipy', 'pandas', 'matplotlib', 'h5py', 'PIL'} & set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
