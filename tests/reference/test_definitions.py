"""Signatures and the types in them, as the source has them."""

import ast

from pumalib.reference.definitions import (
    Function,
    arguments,
    face,
    fields,
    find,
    is_property,
    methods,
    named_types,
    signature,
)


def function_of(source: str) -> Function:
    (node,) = ast.parse(source).body
    assert isinstance(node, Function)
    return node


def test_signature_keeps_aliases_stars_and_fractions() -> None:
    node = function_of("def f(self, a: Norm, b=8 / 255, *, c: int = 0, **rest) -> Table: ...")
    assert signature("f", arguments(node), node.returns, "pumalib.errors") == (
        "f(a: Norm, b = 8 / 255, *, c: int = 0) -> Table"
    )


def test_long_signature_has_a_line_for_each_argument() -> None:
    node = function_of(f"def f({'a' * 60}: int, *{'b' * 60}: str): ...")
    assert signature("f", arguments(node), None, "") == f"f(\n    {'a' * 60}: int,\n    *{'b' * 60}: str,\n)"


def test_fields_of_a_dataclass_have_their_defaults() -> None:
    source = "class A:\n  x: int\n  y: dict = field(default_factory=dict)\n  z: int = field(repr=False)\n  _w: int = 0"
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.ClassDef)
    assert signature("A", fields(node), None, "pumalib.errors") == "A(x: int, y: dict = dict(), z: int)"


def test_constant_of_the_library_is_spelled_out() -> None:
    found = find("pumalib.training.train", "train")
    assert found is not None
    assert isinstance(found.node, Function)
    assert "options: TrainOptions = TrainOptions()" in signature("train", arguments(found.node), None, found.module)


def test_name_is_found_where_it_is_defined() -> None:
    found = find("pumalib.attacks.deepfool", "Norm")  # imported there
    assert found is not None
    assert (found.module, ast.unparse(found.node)) == (
        "pumalib.attacks.threat_settings",
        "Norm = Literal['linf', 'l2']",
    )
    assert "largest change of a pixel" in found.text
    assert find("pumalib.attacks.deepfool", "ArrayLike") is None


def test_types_of_a_signature_are_those_of_this_library() -> None:
    found = find(face()["deepfool_margins"], "deepfool_margins")
    assert found is not None
    assert {each.name for each in named_types(found)} == {"Norm", "Clip", "MarginTable"}


def test_public_methods_and_properties_are_told_apart() -> None:
    found = find("pumalib.reporting.estimates", "Estimate")
    assert found is not None
    assert isinstance(found.node, ast.ClassDef)
    kinds = {each.name: is_property(each) for each in methods(found.node)}
    assert (kinds["standard_error"], kinds["interval"]) == (True, False)
    assert not any(name.startswith("_") for name in kinds)
