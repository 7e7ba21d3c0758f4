import io
import json

import pytest

from pumalib.files.plain_text import PlainStream, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, äöü, 漢字, a\tb\n", "plain, äöü, 漢字, a\tb\n"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("\x1b]8;;http://x\x07", "\\u001b]8;;http://x\\u0007"),
        ("\x9b2J", "\\u009b2J"),
        ("a\rb", "a\\u000db"),
        ("\u202eexe.png", "\\u202eexe.png"),
        ("\U000e0041", "\\U000e0041"),
        ("\udce4", "\\udce4"),
    ],
)
def test_what_commands_a_terminal_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_json_stays_json() -> None:
    stream = io.StringIO()
    print(json.dumps({"name": "\x9b\u202e"}, ensure_ascii=False), file=PlainStream(stream))  # type: ignore[type-var]
    assert json.loads(stream.getvalue()) == {"name": "\x9b\u202e"}
