"""The documents are true: commands exist, settings load, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from stillwatch import cli, config, config_schema
from stillwatch.sources import opened

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of one language, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", document.read_text(), re.M | re.S)
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, text in found]


def commands() -> list[str]:
    lines = [line for d in DOCUMENTS for block in blocks(d, "sh") for line in block.splitlines()]
    return sorted({line.split()[1] for line in lines if line.startswith("stillwatch ")})


@pytest.mark.parametrize("name", commands())
def test_a_command_in_the_documents_has_help_with_an_example(name: str) -> None:
    told = CliRunner().invoke(cli.cli, [name, "--help"])
    assert told.exit_code == 0
    assert "Example" in told.output


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_settings_in_the_documents_load(document: Path) -> None:
    for block in blocks(document, "yaml"):
        loaded = config.parse(block, document.name, None)
        named = loaded.database != config.Settings().database
        assert loaded.signals or loaded.webhooks or loaded.kubernetes or named


SOURCES = [
    d for d in DOCUMENTS if re.search(r"^sources:", d.read_text(), re.M) and d.name.startswith("connect-")
]


@pytest.mark.parametrize("document", SOURCES, ids=lambda d: d.name)
def test_sources_in_the_documents_can_be_opened(document: Path) -> None:
    for block in blocks(document, "yaml"):
        secrets = dict.fromkeys(re.findall(r"_env: (\w+)", block), "postgresql://u:p@127.0.0.1/x")
        settings = config.parse(block, document.name, secrets)
        for source in opened(settings.sources, settings.interval):
            source.close()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_links_in_the_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_scripts_in_the_readme_exist() -> None:
    for script in re.findall(r"^\./(script/\w+)", (ROOT / "README.md").read_text(), re.M):
        assert (ROOT / script).exists()


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    for model in config_schema.Strict.__subclasses__():
        for name, field in model.model_fields.items():
            assert f"`{field.alias or name}`" in text, f"{model.__name__}.{name}"


@pytest.mark.parametrize("section", ["File", "Budget", "Limits", "Listen", "Slack"])
def test_documented_defaults_are_the_ones_in_force(section: str) -> None:
    """Plain defaults; of durations, the seconds."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    for name, field in getattr(config_schema, section).model_fields.items():
        default = field.default
        if isinstance(default, (str, int, float)) and default != "":
            row = rf"^\| `{name}` \| `{re.escape(str(default))}s?`"
            assert re.search(row, text, re.M), f"{section}.{name}: {default}"
