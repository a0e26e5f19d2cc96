"""Each manager's own grammar, and nothing that a manager, an installer or a shell could read as something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from pydantic import ValidationError

from components.models.environment import PACKAGE_MANAGERS, Packages
from components.models.errors import InvalidInput, validate
from components.models.packages import MAX_LENGTH

GOOD = {
    "apt": [
        "jq",
        "ffmpeg=7:5.1*",
        "libc6:amd64",
        "libc6:amd64=2.41-12",
        "g++",
        "libstdc++6",
        "git=1:2.39.5-0+deb12u2~bpo1",
        "curl/trixie-backports",
        "python3.13",
    ],
    "cargo": [
        "ripgrep",
        "ripgrep@14.0.0",
        "cargo-edit@0.12.3-rc.1+build.5",
        "bat@^0.24",
        "bat@~1",
        "bat@=0.24.0",
        "bat@>=0.20, <0.25",
        "bat@0.24.*",
        "wasm_bindgen-cli",
    ],
    "gem": ["rails", "rails:7.1.0", "rake:13.0.6.pre.1", "rails:~> 7.1", "rails:>=7", "nokogiri:1.16.0-java"],
    "go": [
        "golang.org/x/tools/cmd/goimports@latest",
        "golang.org/x/tools/cmd/goimports",
        "example.com/google/uuid@v1.6.0",
        "example.com/mod/v2@v2.0.0-20240101000000-abcdefabcdef",
        "example.com/mod/v2@v2.0.0+incompatible",
        "example.com/mod@<v1.2.3",
        "example.com/mod@0123abc",
        "gopkg.in/yaml.v3@v3.0.1",
        "example.com/A~b_c+d.e",
    ],
    "npm": [
        "express",
        "express@4.18.0",
        "express@4.18.0-beta.1+x",
        "@anthropic-ai/claude-code@latest",
        "typescript@~5.4.0",
        "left-pad@^1",
        "left-pad@1.x",
        "left-pad@*",
        "left-pad@>=1.2 <2",
        "left-pad@1.2.3 - 2",
        "JSONStream",
        "lodash.merge@next",
    ],
    "pip": [
        "pandas",
        "pandas==2.2.0",
        "pandas == 2.2.*",
        "numpy>=1.26,<3,!=2.0",
        "uvicorn[standard,extra]~=0.30",
        "scikit-learn",
        "zope.interface===7",
    ],
}
BAD = {
    "apt": [
        "Ffmpeg",
        "a",
        "ffmpeg-",
        "ffmpeg^",
        "ffmpeg*",
        "lib?",
        "ffmpeg remove",
        "ffmpeg=1/sid",
        "curl/../x",
        "tmp/x.deb",
        "~nlinux",
        "ffmpeg=",
    ],
    "cargo": [
        "1crate",
        "a b",
        "_x",
        "ripgrep@14",
        "ripgrep@",
        "ripgrep@latest",
        "ripgrep@14.0.0 --git x",
        f"a{'b' * 64}",
    ],
    "gem": [
        ".hidden",
        "_x",
        "123",
        "rails 7",
        "rails:",
        "rails:latest",
        "nokogiri:1.16.0-x86_64-linux",
        "rails:7 8",
        "rails:7.gem",
        "x.gem",
    ],
    "go": [
        "goimports",
        "all",
        "cmd",
        "std",
        "./...",
        "example.com/...",
        "example.com/../x",
        "example.com/-x",
        "example.com//x",
        "example.com/x/",
        "example.com/x@",
        "example.com/x@a b",
        "Example.com/x",
        "-example.com/x",
        "example.com/x@-v1",
        "example.com/x.go/",
    ],
    "npm": [
        "@scope",
        "@scope/",
        "scope/name",
        ".x",
        "_x",
        "express@",
        "express@4 || 5",
        "express@npm:evil",
        "express@user/repo",
        "express@file.tgz",
        "express.tgz",
        "express.tar.gz@1.0.0",
        "git@example.com:x",
        "node_modules",
        "favicon.ico",
        "@Scope/x",
        "a" * 215,
    ],
    "pip": [
        "pandas; python_version<'4'",
        "x @ https://example.com/x.whl",
        "x@file",
        "a b",
        "x.whl",
        "x==1.zip",
        "x===../y",
        "x===a;b",
        "x==",
        "[extra]",
        "x(>=1)",
    ],
}
NO_MANAGER_TAKES = [
    "",
    " ",
    " jq",
    "jq ",
    "jq\n",
    "jq\nRUN id",
    "jq\x00",
    "jq\x1b[2J",
    "jq\u2028",
    "jqé",
    "-y",
    "--index-url=x",
    "-",
    "jq;id",
    "jq|id",
    "jq&id",
    "$(id)",
    "`id`",
    "${IFS}",
    "jq'",
    'jq"',
    "jq\\",
    "./x",
    "../x",
    "/etc/passwd",
    "~/x",
    "https://example.com/x",
    "git+ssh://example.com/x",
    "file:/x",
    f"a{'a' * MAX_LENGTH}",
]


@pytest.mark.parametrize(("manager", "text"), [(m, text) for m, texts in GOOD.items() for text in texts])
def test_what_a_manager_takes_is_kept_as_written(manager: str, text: str) -> None:
    assert getattr(Packages.model_validate({manager: [text]}), manager) == (text,)


@pytest.mark.parametrize(
    ("manager", "text"),
    [(m, text) for m, texts in BAD.items() for text in texts] + [(m, t) for m in GOOD for t in NO_MANAGER_TAKES],
)
def test_everything_else_is_refused_with_a_fix(manager: str, text: str) -> None:
    with pytest.raises(ValidationError, match=r"Fix: write it like"):
        Packages.model_validate({manager: [text]})


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("-y", "an option of pip"),
        ("./x", "a path or a URL"),
        ("x\x00", "control characters"),
        ("é", "outside ASCII"),
        ("x.whl", "ends like an archive"),
        ("", "is empty"),
        ("x" * 257, "257 characters"),
        ("a b", "is not written as pip writes packages"),
    ],
)
def test_the_error_names_path_value_rule_and_fix(text: str, rule: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate(Packages, {"pip": ["six", text]})
    (problem,) = caught.value.problems
    assert problem.path == "pip[1]"
    assert rule in problem.rule
    assert problem.fix == "write it like pandas or pandas==2.2.0"
    assert problem.value.startswith(repr(text)[:100])


def test_the_managers_are_in_the_order_in_which_they_run() -> None:
    assert list(PACKAGE_MANAGERS) == sorted(PACKAGE_MANAGERS) == list(GOOD) == list(BAD)


LIKELY = st.text(st.sampled_from("abzAZ019.-_+@:/=*~^<>![], ;$`'\"\\|&\n\r\t\0#%{}()é"), min_size=1, max_size=24)
CHANGED = st.builds(
    lambda text, at, piece: text[: at % (len(text) + 1)] + piece + text[at % (len(text) + 1) :],
    st.sampled_from([text for texts in GOOD.values() for text in texts]),
    st.integers(0, 300),
    LIKELY,
)
FORBIDDEN = set(";$`'\"\\|&\n\r\t\0#%{}()é")


@pytest.mark.parametrize("manager", PACKAGE_MANAGERS)
@given(text=LIKELY | CHANGED)
def test_nothing_a_shell_or_a_terminal_acts_on_is_ever_accepted(manager: str, text: str) -> None:
    try:
        (accepted,) = getattr(Packages.model_validate({manager: [text]}), manager)
    except ValidationError:
        return
    assert accepted == text
    assert not FORBIDDEN & set(accepted)
    assert not accepted.startswith(("-", ".", "/", "~", " "))
    assert not accepted.endswith(" ")
    assert manager != "apt" or not accepted.endswith("-")


@given(
    st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,30}[A-Za-z0-9])?", fullmatch=True),
    st.lists(
        st.from_regex(r"(==|>=|<=|<|>|!=|~=)[0-9]{1,3}\.[0-9]{1,3}(\.[0-9]{1,3})?((a|b|rc)[0-9])?", fullmatch=True),
        max_size=3,
    ),
)
def test_pip_takes_every_name_with_every_version(name: str, versions: list[str]) -> None:
    text = name + ",".join(versions)
    if text.lower().endswith((".zip", ".whl", ".tar", ".tgz", ".gem", ".crate", ".gz", ".bz2", ".xz", ".tbz", ".txz")):
        return
    (accepted,) = Packages.model_validate({"pip": [text]}).pip
    assert Requirement(accepted).name == name
