import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pumalib
from pumalib.files.provenance import LEFT_OUT, code_fingerprint, library_versions, loaded_outside

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "workflow_scripts").glob("*.py"))
LIGHT = ("dataset", "pool", "selection", "score", "results", "report")

PACKAGE = {
    "__init__.py": "FACADE = 1\n",
    "__init__.pyi": "from .first import f as f\n",
    "files/__init__.py": "",
    "files/provenance.py": None,  # the real module
    "first.py": '"""First."""\n\nimport pumalib.second\nfrom pumalib import third\n\n\n'
    'def f(x):\n    """Add."""\n    return x + 1\n',
    "second.py": "def g():\n    from pumalib.deep.fourth import VALUE\n    return VALUE\n",
    "third.py": "import json\nimport pumalib.third\n",  # imports itself: a cycle
    "alone.py": "import pumalib.first\n",
    "deep/__init__.py": "",
    "deep/fourth.py": "VALUE = 1\n",
    "deep/named.py": "NAMED = 1\n",
    "deep/settings.py": "DEFAULT = 1\n",
    "jobs/__init__.py": "",
    "jobs/frame.py": "import pumalib.alone\n",
    "typed.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pumalib.alone\n",
}
SCRIPT = "from pumalib.first import f\n\nf(1)\n"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a folder with a small package of the same name around the real provenance module, and a script."""
    for name, text in PACKAGE.items():
        path = tmp_path / "pumalib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        source = (Path(pumalib.__file__).parent / name).read_text(encoding="utf-8") if text is None else text
        path.write_text(source, encoding="utf-8")
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    return tmp_path


def fingerprint(package: Path, *modules: str) -> dict[str, str]:
    """Take the fingerprint of the script, with the copied package in a process of its own."""
    call = f"code_fingerprint('script.py', *{modules!r})"
    code = f"import json; from pumalib.files.provenance import code_fingerprint; print(json.dumps({call}))"
    environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code]
    finished = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=True)
    result: dict[str, str] = json.loads(finished.stdout)
    return result


CLOSURE = {"script.py", "python", "pumalib.first", "pumalib.second", "pumalib.third", "pumalib.deep.fourth"}


def test_closure_follows_imports_in_functions_and_cycles_but_not_packages(package: Path) -> None:
    assert set(fingerprint(package)) == CLOSURE


def test_module_that_a_config_names_joins_the_closure(package: Path) -> None:
    assert set(fingerprint(package, "pumalib.deep.named")) == CLOSURE | {"pumalib.deep.named"}


def test_module_of_a_user_is_fingerprinted_itself(package: Path) -> None:
    (package / "mine.py").write_text("import os\nX = 1\n", encoding="utf-8")
    before = fingerprint(package, "mine")
    assert set(before) == CLOSURE | {"mine"}
    (package / "mine.py").write_text("import os\nX = 2\n", encoding="utf-8")
    assert fingerprint(package, "mine")["mine"] != before["mine"]


def test_settings_and_the_frame_of_a_job_are_left_out_with_all_they_import(package: Path) -> None:
    named = ("pumalib.deep.settings", "pumalib.jobs.frame", "pumalib.typed")
    assert set(fingerprint(package, *named)) == CLOSURE | {"pumalib.typed"}


def test_modules_left_out_exist_and_give_their_reason() -> None:
    for module, reason in LEFT_OUT.items():
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file(), module
        assert len(reason.split()) > 2


OWN = {
    "mine.py": "from helpers import SIGN\nimport kit.tools.saw\n",
    "helpers.py": "SIGN = 1\n",
    "kit/__init__.py": "ABOUT = 'kit'\n",
    "kit/tools/__init__.py": "",
    "kit/tools/saw.py": "from ..nails import LONG\nfrom . import hammer\n",
    "kit/nails.py": "LONG = 1\n",
    "kit/tools/hammer.py": "HEAVY = 1\n",
    "unused.py": "X = 1\n",
}
"""A user's module with all that it imports, by name, by path and relatively."""


@pytest.mark.parametrize(
    "name", ["mine.py", "helpers.py", "kit/__init__.py", "kit/nails.py", "kit/tools/saw.py", "kit/tools/hammer.py"]
)
def test_what_a_users_module_imports_below_the_run_folder_is_watched(package: Path, name: str) -> None:
    for path, text in OWN.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(text, encoding="utf-8")
    before = fingerprint(package, "mine")
    assert "unused" not in before
    with (package / name).open("a", encoding="utf-8") as file:
        file.write("NEW = 1\n")
    after = fingerprint(package, "mine")
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert {key for key in before if before[key] != after[key]} == {module}


def test_name_of_the_librarys_face_stands_for_the_module_behind_it(package: Path) -> None:
    (package / "mine.py").write_text("from pumalib import f\n", encoding="utf-8")
    (package / "script.py").write_text("X = 1\n", encoding="utf-8")
    assert "pumalib.first" in fingerprint(package, "mine")


def test_module_of_a_user_that_does_not_parse_is_left_to_the_job(package: Path) -> None:
    (package / "mine.py").write_text("def (:\n", encoding="utf-8")
    assert "mine" in fingerprint(package, "mine")


def edit(package: Path, name: str, old: str, new: str) -> None:
    path = package / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pumalib/first.py", '"""Add."""', '"""Add one, and say so at length."""'),
        ("pumalib/first.py", '    """Add."""\n', ""),
        ("pumalib/first.py", '"""First."""', "# no docstring any more"),
        ("pumalib/first.py", "return x + 1", "return (\n        x  # the number\n        + 1\n    )"),
        ("pumalib/deep/fourth.py", "VALUE = 1", 'VALUE = 1\n"""An attribute docstring."""\n'),
        ("pumalib/alone.py", "import pumalib.first", "import pumalib.first\nX = 1"),
        ("pumalib/__init__.py", "FACADE = 1", "FACADE = 2"),
        ("pumalib/deep/settings.py", "DEFAULT = 1", "DEFAULT = 2"),
        ("script.py", "f(1)", "f( 1 )  # call it"),
    ],
)
def test_comments_docstrings_formatting_and_modules_out_of_reach_do_not_count(
    package: Path, name: str, old: str, new: str
) -> None:
    before = fingerprint(package)
    edit(package, name, old, new)
    assert fingerprint(package) == before


@pytest.mark.parametrize(
    ("name", "old", "new", "changed"),
    [
        ("pumalib/first.py", "x + 1", "x + 2", "pumalib.first"),
        ("pumalib/first.py", "x + 1", 'x + len("""Add.""")', "pumalib.first"),
        ("pumalib/deep/fourth.py", "VALUE = 1", "VALUE = 1.0", "pumalib.deep.fourth"),
        ("pumalib/second.py", "def g():", "def g(x=0):", "pumalib.second"),
        ("script.py", "f(1)", "f(2)", "script.py"),
    ],
)
def test_edit_of_a_line_changes_the_fingerprint_of_its_module_alone(
    package: Path, name: str, old: str, new: str, changed: str
) -> None:
    before = fingerprint(package)
    edit(package, name, old, new)
    after = fingerprint(package)
    assert {key for key in before if before[key] != after[key]} == {changed}


def test_edit_is_seen_within_one_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("X = 1\n", encoding="utf-8")
    before = code_fingerprint(script)
    script.write_text("X = 22\n", encoding="utf-8")
    assert code_fingerprint(script) != before


def test_editing_deepfool_reruns_margins_and_not_models(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "pumalib", tmp_path / "pumalib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "workflow_scripts", tmp_path / "workflow_scripts")
    code = (
        "import json, sys; from pumalib.files.provenance import code_fingerprint as f;"
        "print(json.dumps([f('workflow_scripts/score_shard.py', 'pumalib.scores.deepfool', 'pumalib.models.mlp'),"
        "f('workflow_scripts/score_shard.py', 'pumalib.scores.fast_margin', 'pumalib.models.mlp'),"
        "f('workflow_scripts/model.py', 'pumalib.training.methods.trades', 'pumalib.models.mlp'),"
        "f('workflow_scripts/selection.py')]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}

    def fingerprints() -> list[dict[str, str]]:
        command = [sys.executable, "-c", code]
        finished = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        result: list[dict[str, str]] = json.loads(finished.stdout)
        return result

    before = fingerprints()
    edit(
        tmp_path,
        "pumalib/attacks/deepfool.py",
        "from __future__ import annotations\n",
        "from __future__ import annotations\n\nX = 1\n",
    )
    after = fingerprints()
    assert [old != new for old, new in zip(before, after, strict=True)] == [True, False, False, False]
    assert {key for key in before[0] if before[0][key] != after[0][key]} == {"pumalib.attacks.deepfool"}


PROBE = """
import json, sys
from pathlib import Path

found = {}
for path in sys.argv[1:]:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pumalib"]:
        del sys.modules[name]
    imports = Path(path).read_text(encoding="utf-8").split("with job(")[0]
    exec(compile(imports, path, "exec"), {})
    from pumalib.files.provenance import code_fingerprint, loaded_outside
    loaded = sum(name.startswith("pumalib.") for name in sys.modules)
    found[Path(path).stem] = [loaded, loaded_outside(code_fingerprint(path)), "torch" in sys.modules]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def probed() -> dict[str, tuple[int, list[str], bool]]:
    """Import what each script imports; return the modules loaded, the holes, and whether torch was needed so far."""
    light = [path for path in SCRIPTS if path.stem in LIGHT]
    scripts = [str(path) for path in (*light, *(path for path in SCRIPTS if path not in light))]
    command = [sys.executable, "-c", PROBE, *scripts]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    result: dict[str, tuple[int, list[str], bool]] = json.loads(finished.stdout)
    return result


@pytest.mark.parametrize("name", [path.stem for path in SCRIPTS])
def test_what_a_script_imports_lies_within_its_fingerprint(
    probed: dict[str, tuple[int, list[str], bool]], name: str
) -> None:
    loaded, holes, _ = probed[name]
    assert loaded > 3
    assert holes == []


OF_A_REPORT = """
import json, sys
from pumalib.files.provenance import code_fingerprint, loaded_outside

script, *kinds = sys.argv[1:]
holes = {}
for kind in kinds:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pumalib"]:
        del sys.modules[name]
    exec(compile(open(script).read().split("with job(")[0], script, "exec"), {})
    __import__(f"pumalib.reporting.settings.{kind}")
    __import__(f"pumalib.reporting.kinds.{kind}")
    from pumalib.files.provenance import code_fingerprint, loaded_outside
    holes[kind] = loaded_outside(code_fingerprint(script, f"pumalib.reporting.kinds.{kind}"))
print(json.dumps(holes))
"""


def test_what_a_report_loads_lies_within_its_fingerprint_whatever_its_kind() -> None:
    kinds = [path.stem for path in (ROOT / "pumalib/reporting/settings").glob("[a-z]*.py")]
    command = [sys.executable, "-c", OF_A_REPORT, str(ROOT / "workflow_scripts/report.py"), *kinds]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    holes = json.loads(finished.stdout)
    assert len(holes) > 15
    assert {kind: names for kind, names in holes.items() if names} == {}


@pytest.mark.parametrize("name", LIGHT)
def test_script_of_a_small_stage_imports_no_torch(probed: dict[str, tuple[int, list[str], bool]], name: str) -> None:
    assert not probed[name][2]


def test_module_that_is_loaded_but_not_fingerprinted_is_a_hole() -> None:
    importlib.import_module("pumalib.files.artifacts")
    fingerprints = {name: "x" for name in sys.modules if name != "pumalib.files.artifacts"}
    assert loaded_outside(fingerprints) == ["pumalib.files.artifacts"]


def test_versions_name_the_libraries_a_number_depends_on() -> None:
    versions = library_versions()
    assert {"torch", "numpy", "h5py", "pumalib"} <= set(versions)
    assert versions["numpy"] == __import__("numpy").__version__


@pytest.mark.parametrize(
    "text",
    [
        "import pumalib\npumalib.f(1)\n",
        "import pumalib as puma\npuma.f(1)\n",
        "import typing\nif typing.TYPE_CHECKING:\n    import alone\nelse:\n    from pumalib import f\n",
    ],
)
def test_face_is_followed_in_each_way_to_take_a_name_from_it(package: Path, text: str) -> None:
    (package / "mine.py").write_text(text, encoding="utf-8")
    (package / "script.py").write_text("X = 1\n", encoding="utf-8")
    assert "pumalib.first" in fingerprint(package, "mine")


def test_names_like_those_of_the_face_on_other_objects_are_not_followed(package: Path) -> None:
    (package / "mine.py").write_text("import pumalib\nmodel = object()\nmodel.f()\n", encoding="utf-8")
    (package / "script.py").write_text("X = 1\n", encoding="utf-8")
    assert "pumalib.first" not in fingerprint(package, "mine")
