"""The language server, asked by pytest-lsp: a client that no one here wrote, with the capabilities of real editors.

pytest-lsp holds every answer against the specification and against what the editor said it can take; with warnings as
errors, an answer that an editor did not ask for is a failure. `MMHC` is the server, `MMH_EXAMPLES` the examples' folder.
"""

import os
import pathlib
import shutil

import pytest
import pytest_lsp
from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities

EXAMPLES = pathlib.Path(os.environ["MMH_EXAMPLES"])
DIGITS = (EXAMPLES / "digits.mmh").read_text()
EDITORS = ["visual_studio_code", "neovim", "emacs"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "data").mkdir()
    shutil.copy(EXAMPLES / "data/digits.csv", folder / "data")
    (folder / "digits.mmh").write_text(DIGITS)
    (folder / "parts").mkdir()
    (folder / "parts/layers.mmh").write_text(
        "mmh 1\n\n/// Once more.\nblock twice(x: f32[batch, feature]) -> like x {\n  x + x\n}\n"
    )
    (folder / "main.mmh").write_text(
        'mmh 1\n\nuse "parts/layers.mmh" { twice }\n\n'
        "block both(x: f32[batch, feature]) -> like x {\n  x |> twice\n}\n"
    )
    return folder


@pytest_lsp.fixture(
    params=EDITORS,
    config=ClientServerConfig(server_command=[os.environ["MMHC"], "lsp"]),
)
async def client(request, project, lsp_client: LanguageClient):
    params = types.InitializeParams(
        capabilities=client_capabilities(request.param),
        workspace_folders=[types.WorkspaceFolder(uri=project.as_uri(), name="project")],
    )
    lsp_client.about = await lsp_client.initialize_session(params)
    yield
    await lsp_client.shutdown_session()


def document(client, path, text=None):
    uri = path.as_uri()
    text = path.read_text() if text is None else text
    client.text_document_did_open(
        types.DidOpenTextDocumentParams(
            text_document=types.TextDocumentItem(uri=uri, language_id="mmh", version=1, text=text)
        )
    )
    return types.TextDocumentIdentifier(uri=uri), text


def place(client, text, wanted, shift=0):
    """The place of `wanted`, counted as was agreed."""
    before = text[: text.index(wanted) + shift]
    last = before.rsplit("\n", 1)[-1]
    units = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le", None: "utf-16-le"}
    encoding = client.about.capabilities.position_encoding
    name = units[getattr(encoding, "value", encoding)]
    width = {"utf-8": 1, "utf-16-le": 2, "utf-32-le": 4}[name]
    return types.Position(line=before.count("\n"), character=len(last.encode(name)) // width)


def whole():
    return types.Range(start=types.Position(0, 0), end=types.Position(10_000, 0))


@pytest.mark.asyncio
async def test_mistakes_are_shown_and_mended(client: LanguageClient, project):
    text = DIGITS.replace("adamw(lr", "adamw(learning_rate")
    about, _ = document(client, project / "digits.mmh", text)
    await client.wait_for_notification("textDocument/publishDiagnostics")
    (found,) = client.diagnostics[about.uri]
    assert found.code == "setting::unknown" and "did you mean `lr`?" in found.message
    actions = await client.text_document_code_action_async(
        types.CodeActionParams(
            text_document=about,
            range=found.range,
            context=types.CodeActionContext(diagnostics=[found]),
        )
    )
    edit = actions[0].edit
    if edit.document_changes:
        (change,) = edit.document_changes
        assert change.text_document.version == 1
        (edit,) = change.edits
    else:
        (edit,) = edit.changes[about.uri]
    assert edit.new_text == "lr"
    client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            text_document=types.VersionedTextDocumentIdentifier(uri=about.uri, version=2),
            content_changes=[types.TextDocumentContentChangePartial(range=edit.range, text="lr")],
        )
    )
    await client.wait_for_notification("textDocument/publishDiagnostics")
    assert list(client.diagnostics[about.uri]) == []


@pytest.mark.asyncio
async def test_hover_completion_and_signatures(client: LanguageClient, project):
    text = DIGITS.replace("source.pixels", "source.").replace("// Handwritten", "// 😀 Handwritten")
    about, _ = document(client, project / "digits.mmh", DIGITS)
    at = types.TextDocumentPositionParams(about, place(client, DIGITS, "conv(wide", 1))
    hover = await client.text_document_hover_async(types.HoverParams(about, at.position))
    assert "channel = 24" in hover.contents.value
    position = place(client, DIGITS, "kernel = 3", 2)
    signature = await client.text_document_signature_help_async(
        types.SignatureHelpParams(about, position)
    )
    assert signature.signatures[0].label.startswith("conv(")
    client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            text_document=types.VersionedTextDocumentIdentifier(uri=about.uri, version=2),
            content_changes=[types.TextDocumentContentChangeWholeDocument(text=text)],
        )
    )
    position = place(client, text, "source. ", len("source."))
    found = await client.text_document_completion_async(types.CompletionParams(about, position))
    labels = [item.label for item in found.items]
    assert "pixels" in labels and "digit" in labels


@pytest.mark.asyncio
async def test_names_are_followed_through_the_whole_project(client: LanguageClient, project):
    layers = project / "parts/layers.mmh"
    about, text = document(client, layers)
    position = place(client, text, "twice", 1)
    places = await client.text_document_references_async(
        types.ReferenceParams(types.ReferenceContext(include_declaration=True), about, position)
    )
    assert {place.uri for place in places} == {about.uri, (project / "main.mmh").as_uri()}
    assert len(places) == 3
    edit = await client.text_document_rename_async(
        types.RenameParams(text_document=about, position=position, new_name="double")
    )
    if edit.document_changes:
        changed = {change.text_document.uri for change in edit.document_changes}
    else:
        changed = set(edit.changes)
    assert changed == {about.uri, (project / "main.mmh").as_uri()}
    main, text = document(client, project / "main.mmh")
    found = await client.text_document_definition_async(
        types.DefinitionParams(main, place(client, text, "|> twice", 4))
    )
    assert found.uri == about.uri


@pytest.mark.asyncio
async def test_outline_colours_hints_and_layout(client: LanguageClient, project):
    text = DIGITS.replace("let depth = 2", "let  depth=2")
    about, _ = document(client, project / "digits.mmh", text)
    symbols = await client.text_document_document_symbol_async(types.DocumentSymbolParams(about))
    assert [symbol.name for symbol in symbols][:3] == ["depth", "wide", "digits"]
    tokens = await client.text_document_semantic_tokens_full_async(types.SemanticTokensParams(about))
    assert len(tokens.data) > 1000 and len(tokens.data) % 5 == 0
    hints = await client.text_document_inlay_hint_async(types.InlayHintParams(about, whole()))
    labels = [hint.label for hint in hints]
    assert " 20 steps per epoch" in labels and any(label.endswith(" parameters") for label in labels)
    (edit,) = await client.text_document_formatting_async(
        types.DocumentFormattingParams(about, types.FormattingOptions(tab_size=2, insert_spaces=True))
    )
    assert edit.new_text == DIGITS


@pytest.mark.asyncio
async def test_letters_in_quick_succession_end_as_the_whole(client: LanguageClient, project):
    about, _ = document(client, project / "digits.mmh", "")
    typed, step = "", 40
    for version, start in enumerate(range(0, len(DIGITS), step), 2):
        end = typed.rsplit("\n", 1)
        position = types.Position(typed.count("\n"), len(end[-1]))
        part = DIGITS[start : start + step]
        client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                text_document=types.VersionedTextDocumentIdentifier(uri=about.uri, version=version),
                content_changes=[
                    types.TextDocumentContentChangePartial(
                        range=types.Range(position, position), text=part
                    )
                ],
            )
        )
        typed += part
    position = place(client, DIGITS, "conv(wide", 1)
    hover = await client.text_document_hover_async(types.HoverParams(about, position))
    assert "channel = 24" in hover.contents.value


@pytest.mark.asyncio
async def test_what_may_stand_here_and_what_it_is(client: LanguageClient, project):
    about, _ = document(client, project / "digits.mmh")
    version = 1

    async def completed(old, new, shift):
        nonlocal version
        version += 1
        text = DIGITS.replace(old, new)
        client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                text_document=types.VersionedTextDocumentIdentifier(uri=about.uri, version=version),
                content_changes=[types.TextDocumentContentChangeWholeDocument(text=text)],
            )
        )
        position = place(client, text, new, shift)
        found = await client.text_document_completion_async(types.CompletionParams(about, position))
        return {item.label for item in found.items}

    ops = await completed("|> down(to = 2 * wide)", "|> dow", len("|> dow"))
    assert {"down", "dropout", "conv", "layer_norm"} <= ops
    settings = await completed("3e-2), decay = 1e-2", "3e-2), de", len("3e-2), de"))
    assert {"decay", "betas", "epsilon"} <= settings
    axes = await completed("over = [height, width]", "over = [he, width]", len("over = [he"))
    assert {"height", "channel"} <= axes
    await completed("nothing at all", "mmh 1", 0)
    hover = await client.text_document_hover_async(
        types.HoverParams(about, place(client, DIGITS, "30 epochs\n", 4))
    )
    assert "epoch" in hover.contents.value
    hover = await client.text_document_hover_async(
        types.HoverParams(about, place(client, DIGITS, "dropout(", 2))
    )
    assert "dropout(" in hover.contents.value and len(hover.contents.value) > 60
    position = place(client, DIGITS, "residual(", 2)
    marks = await client.text_document_document_highlight_async(
        types.DocumentHighlightParams(about, position)
    )
    assert len(marks) == 3
    prepared = await client.text_document_prepare_rename_async(
        types.PrepareRenameParams(about, position)
    )
    assert prepared.placeholder == "residual"
