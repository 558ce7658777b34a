//! What is called at a place, and what it takes.

use crate::files::SourceFile;
use crate::names::{Place, item_at};
use crate::{Analysis, FileId, MAIN, docs};
use mmh_check::editor;
use mmh_diag::Span;
use mmh_syntax::ast::{Block, Item, Param, SectionKind};
use mmh_syntax::{Kind, NodeId};
use std::sync::Arc;

/// Primitives whose other named arguments are columns.
pub(crate) const COLUMNS: &[&str] = &["map"];
/// Primitives whose other named arguments have names of axes as values.
pub(crate) const AXES: &[&str] = &["rename"];

/// Whether a setting takes names of axes.
pub(crate) fn takes_axes(primitive: &str, setting: &str) -> bool {
    match setting {
        "over" | "along" | "axis" | "axes" | "into" | "tap" => true,
        "from" => primitive == "linear",
        "key" | "causal" => primitive == "attend",
        "shape" => true,
        _ => false,
    }
}

/// One setting of something that is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Takes {
    pub(crate) name: String,
    /// `name: type = default`, as a signature writes it.
    pub(crate) label: String,
    pub(crate) doc: String,
}

/// Something that is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Callee {
    pub(crate) name: String,
    /// `name(settings) -> type`.
    pub(crate) signature: String,
    pub(crate) doc: String,
    pub(crate) takes: Vec<Takes>,
    /// Names of axes or columns may be given beside the settings.
    pub(crate) open: bool,
}

impl Callee {
    pub(crate) fn primitive(name: &str) -> Option<Self> {
        let (name, signature, doc) = mmh_check::primitive_signatures().find(|p| p.0 == name)?;
        let (settings, open) = editor::primitive_settings(name)?;
        let takes = settings
            .iter()
            .map(|setting| takes(name, setting, signature));
        Some(Self {
            name: name.to_owned(),
            signature: signature.to_owned(),
            doc: doc.to_owned(),
            takes: takes.collect(),
            open,
        })
    }

    pub(crate) fn choice((name, settings): editor::Callable) -> Self {
        let signature = format!("{name}({})", settings.join(", "));
        let takes = settings.iter().map(|setting| takes(name, setting, ""));
        Self {
            takes: takes.collect(),
            name: name.to_owned(),
            signature,
            doc: docs::choice(name).to_owned(),
            open: name == "choice",
        }
    }

    pub(crate) fn block(block: &Block, text: &str) -> Self {
        let takes = block.params.iter().map(|param| of_param(param, text));
        Self {
            name: block.name.text.clone(),
            signature: head(block, text),
            doc: block.doc.clone().unwrap_or_default(),
            takes: takes.collect(),
            open: false,
        }
    }
}

fn takes(owner: &str, setting: &str, signature: &str) -> Takes {
    Takes {
        name: setting.to_owned(),
        label: written(signature, setting).unwrap_or(setting).to_owned(),
        doc: docs::setting(owner, setting).to_owned(),
    }
}

/// How a signature writes one of its settings.
fn written<'a>(signature: &'a str, setting: &str) -> Option<&'a str> {
    let inside = signature.split_once('(')?.1;
    let inside = inside.rsplit_once(')').map_or(inside, |(all, _)| all);
    let mut depth = 0;
    let parts = inside.split(|letter| {
        depth += i32::from(letter == '[') - i32::from(letter == ']');
        letter == ',' && depth == 0
    });
    let mut named = parts.map(str::trim).filter(|part| {
        let end = part.find([':', ' ']).unwrap_or(part.len());
        part.get(..end) == Some(setting)
    });
    named.next()
}

pub(crate) fn of_param(param: &Param, text: &str) -> Takes {
    let kind = match &param.default {
        Some(default) => format!("default `{}`", default.span().text(text)),
        None => "must be given".to_owned(),
    };
    Takes {
        name: param.name.text.clone(),
        label: one_line(param.span.text(text)),
        doc: kind,
    }
}

/// `block name(params) -> type` on one line.
pub(crate) fn head(block: &Block, text: &str) -> String {
    let start = block.name.span.start;
    let end = block.body.span.start.max(start);
    let written = one_line(Span::new(start, end).text(text));
    format!("{} {}", block.kind.word(), written.trim_end())
}

pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The innermost call whose parentheses hold a byte.
#[derive(Clone, Debug)]
pub(crate) struct CallAt {
    pub(crate) callee: Callee,
    /// Arguments without a name before the one the cursor is in, and the name of that one.
    pub(crate) before: usize,
    pub(crate) named: Option<String>,
    /// Names given in the whole call.
    pub(crate) given: Vec<String>,
    /// Something flows in and takes the first place.
    pub(crate) piped: bool,
}

/// The word before the parentheses that hold a byte, and the parentheses.
pub(crate) fn enclosing_args(file: &SourceFile, offset: u32) -> Option<(NodeId, NodeId)> {
    let tree = &file.tree;
    let at = tree.token_at(offset.saturating_sub(1))?;
    let holds = |id: NodeId| {
        let span = tree.span(id);
        let closed = tree.text_of(id).ends_with(')');
        span.start < offset && (offset < span.end || !closed && offset == span.end)
    };
    let args = tree
        .ancestors(at)
        .find(|id| tree.kind(*id) == Kind::Args && holds(*id));
    // Blanks behind an open call belong to what holds it.
    let args = args.or_else(|| open_before(file, offset))?;
    Some((tree.parent(args)?, args))
}

/// An unclosed call before the cursor with nothing but blanks and a comma between.
fn open_before(file: &SourceFile, offset: u32) -> Option<NodeId> {
    let tree = &file.tree;
    let before = file.text.get(..offset as usize)?.trim_end();
    let at = tree.token_at((before.len() as u32).checked_sub(1)?)?;
    let args = tree.ancestors(at).find(|id| tree.kind(*id) == Kind::Args)?;
    let open = !tree.text_of(args).ends_with(')');
    (open && tree.span(args).end <= offset).then_some(args)
}

impl Analysis {
    /// What the call around a byte takes.
    pub(crate) fn call_at(&self, offset: u32) -> Option<CallAt> {
        let file = self.file(MAIN)?;
        let tree = &file.tree;
        let (call, args) = enclosing_args(file, offset)?;
        let path = tree.part(call, Kind::Path)?;
        let callee = self.callee(tree.text_of(path), tree.span(path).start)?;
        let mut found = CallAt {
            callee,
            before: 0,
            named: None,
            given: Vec::new(),
            piped: is_piped(file, call),
        };
        let mut bare = 0;
        for part in tree.parts(args) {
            let span = tree.span(part);
            if tree.kind(part) == Kind::Mark && tree.text_of(part) == "," && span.end <= offset {
                found.before += std::mem::take(&mut bare);
            }
            let name = argument_name(file, part);
            bare += usize::from(tree.kind(part) == Kind::Arg && name.is_none());
            if let Some(name) = &name {
                found.given.push(name.clone());
            }
            if span.start <= offset && offset <= span.end && tree.kind(part) == Kind::Arg {
                found.named = name;
            }
        }
        Some(found)
    }

    /// What a called word means at a byte of the main file.
    pub(crate) fn callee(&self, name: &str, at: u32) -> Option<Callee> {
        let choices = self.choices_at(at);
        if let Some(choice) = choices.iter().find(|choice| choice.0 == name) {
            return Some(Callee::choice(*choice));
        }
        let top = self.names().tops.get(MAIN).and_then(|tops| tops.get(name));
        if let Some(place) = top {
            return self.block_callee(*place);
        }
        Callee::primitive(name)
    }

    pub(crate) fn block_callee(&self, place: Place) -> Option<Callee> {
        let file = self.file(place.file)?;
        match item_at(self.files(), place)? {
            Item::Block(block) => Some(Callee::block(block, &file.text)),
            Item::Use(_) | Item::Seed(_) | Item::Let(_) | Item::Section(_) => None,
        }
    }

    /// The closed list that a word at a byte may be of: the one of the setting, and spaces behind `~`.
    pub(crate) fn choices_at(&self, offset: u32) -> Vec<editor::Callable> {
        let Some(file) = self.file(MAIN) else {
            return Vec::new();
        };
        if behind_tilde(file, offset) {
            return editor::spaces().to_vec();
        }
        let Some((kind, setting)) = field_at(file, offset) else {
            return Vec::new();
        };
        editor::setting_choices(kind, &setting).to_vec()
    }
}

fn argument_name(file: &SourceFile, arg: NodeId) -> Option<String> {
    let tree = &file.tree;
    let mut parts = tree.parts(arg);
    let name = parts.next().filter(|id| tree.kind(*id) == Kind::Name)?;
    parts.next().filter(|id| tree.text_of(*id) == "=")?;
    Some(tree.text_of(name).to_owned())
}

/// Whether a call stands behind `|>`.
fn is_piped(file: &SourceFile, call: NodeId) -> bool {
    let start = file.tree.span(call).start as usize;
    file.text
        .get(..start)
        .is_some_and(|before| before.trim_end().ends_with("|>"))
}

/// Whether a word at a byte stands behind `~`.
fn behind_tilde(file: &SourceFile, offset: u32) -> bool {
    let before = file.text.get(..offset as usize).unwrap_or("");
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    before
        .trim_end_matches(word)
        .trim_end_matches([' ', '\t'])
        .ends_with('~')
}

/// The section and setting whose value holds a byte.
pub(crate) fn field_at(file: &SourceFile, offset: u32) -> Option<(SectionKind, String)> {
    let tree = &file.tree;
    let before = file.text.get(..offset as usize)?.trim_end();
    let at = tree.token_at((before.len() as u32).checked_sub(1)?)?;
    let field = tree
        .ancestors(at)
        .find(|id| tree.kind(*id) == Kind::Field)?;
    let mut parts = tree.parts(field);
    let name = parts.find(|id| tree.kind(*id) == Kind::Name)?;
    let section = section_of(file, field)?;
    Some((section, tree.text_of(name).to_owned()))
}

/// The kind of the section that holds a node.
pub(crate) fn section_of(file: &SourceFile, node: NodeId) -> Option<SectionKind> {
    let tree = &file.tree;
    let section = tree
        .ancestors(node)
        .find(|id| matches!(tree.kind(*id), Kind::Section | Kind::SectionValue))?;
    let keyword = tree.part(section, Kind::Keyword)?;
    let word = tree.text_of(keyword);
    SectionKind::ALL
        .into_iter()
        .find(|kind| kind.word() == word)
}

/// The file with this number.
pub(crate) fn text_of(files: &[Arc<SourceFile>], id: FileId) -> &str {
    files.get(id).map_or("", |file| file.text.as_str())
}

#[cfg(test)]
mod tests {
    use super::written;

    #[test]
    fn settings_are_cut_out_of_signatures() {
        let signature = "conv(x: f32[batch, channel], to: int, kernel = 3) -> like x";
        assert_eq!(written(signature, "x"), Some("x: f32[batch, channel]"));
        assert_eq!(written(signature, "kernel"), Some("kernel = 3"));
        assert_eq!(written(signature, "bias"), None);
    }
}
