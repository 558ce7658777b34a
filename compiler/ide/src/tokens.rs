//! What every word is, for the editor's colours.

use crate::names::{SymbolKind, Target};
use crate::{Analysis, MAIN};
use mmh_check::editor;
use mmh_diag::Span;
use mmh_syntax::ast::BlockKind;
use mmh_syntax::{Kind, NodeId};

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKind {
    /// A word of the language.
    Keyword,
    /// `// …` and `/// …`.
    Comment,
    /// A text in quotes.
    String,
    /// A number.
    Number,
    /// A unit behind a number.
    Unit,
    /// What stands between or before values.
    Operator,
    /// A type word.
    Type,
    /// A block or a primitive.
    Function,
    /// A model.
    Class,
    /// A section.
    Namespace,
    /// A named value.
    Variable,
    /// A parameter of a block.
    Parameter,
    /// A setting, a column or a member.
    Property,
    /// An axis.
    Axis,
}

impl TokenKind {
    /// Every kind; the order is the editor's numbering.
    pub const ALL: [Self; 14] = [
        Self::Keyword,
        Self::Comment,
        Self::String,
        Self::Number,
        Self::Unit,
        Self::Operator,
        Self::Type,
        Self::Function,
        Self::Class,
        Self::Namespace,
        Self::Variable,
        Self::Parameter,
        Self::Property,
        Self::Axis,
    ];

    /// The name the protocol has for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::Comment => "comment",
            Self::String => "string",
            Self::Number => "number",
            Self::Unit => "enumMember",
            Self::Operator => "operator",
            Self::Type => "type",
            Self::Function => "function",
            Self::Class => "class",
            Self::Namespace => "namespace",
            Self::Variable => "variable",
            Self::Parameter => "parameter",
            Self::Property => "property",
            Self::Axis => "typeParameter",
        }
    }
}

/// One coloured word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its bytes; never across a line.
    pub span: Span,
    /// What it is.
    pub kind: TokenKind,
    /// It is declared here.
    pub declares: bool,
    /// It belongs to the language or its library.
    pub library: bool,
    /// It is a doc comment.
    pub documents: bool,
}

impl Analysis {
    /// The coloured words in some bytes of the main file, in order.
    pub fn tokens(&self, within: Span) -> Vec<Token> {
        let Some(file) = self.file(MAIN) else {
            return Vec::new();
        };
        let tree = &file.tree;
        tree.tokens()
            .filter(|id| {
                let span = tree.span(*id);
                span.start < within.end && within.start < span.end
            })
            .filter_map(|id| self.token(id))
            .collect()
    }

    fn token(&self, id: NodeId) -> Option<Token> {
        let tree = &self.file(MAIN)?.tree;
        let (kind, span) = (tree.kind(id), tree.span(id));
        let plain = |kind| Token {
            span,
            kind,
            declares: false,
            library: false,
            documents: false,
        };
        Some(match kind {
            Kind::Keyword => plain(TokenKind::Keyword),
            Kind::Comment => plain(TokenKind::Comment),
            Kind::Doc => Token {
                documents: true,
                ..plain(TokenKind::Comment)
            },
            Kind::String | Kind::BadString => plain(TokenKind::String),
            Kind::Number | Kind::BadNumber => plain(TokenKind::Number),
            Kind::Unit => plain(TokenKind::Unit),
            Kind::Operator => plain(TokenKind::Operator),
            Kind::Name => return self.name_token(id, plain(TokenKind::Property)),
            _ => return None,
        })
    }

    fn name_token(&self, id: NodeId, plain: Token) -> Option<Token> {
        let tree = &self.file(MAIN)?.tree;
        let text = tree.text_of(id);
        if matches!(text, "true" | "false") {
            return Some(Token {
                kind: TokenKind::Keyword,
                ..plain
            });
        }
        let found = self.names().at(MAIN, plain.span.start);
        let Some(found) = found.filter(|found| found.place.span == plain.span) else {
            let is_type = editor::type_words().contains(&text);
            let kind = match is_type {
                true => TokenKind::Type,
                false => TokenKind::Property,
            };
            return Some(Token {
                kind,
                library: is_type,
                ..plain
            });
        };
        let library = |kind| Token {
            kind,
            library: true,
            ..plain
        };
        Some(match &found.target {
            Target::Primitive(_) | Target::Choice => library(TokenKind::Function),
            Target::Setting(_) | Target::Member => library(TokenKind::Property),
            Target::SourceColumn => plain,
            Target::Axis => Token {
                kind: TokenKind::Axis,
                ..plain
            },
            Target::Symbol(place) => Token {
                kind: of_symbol(self.names().symbols.get(place)?.kind),
                declares: *place == found.place,
                library: self.file(place.file).is_some_and(|file| file.library),
                ..plain
            },
        })
    }
}

fn of_symbol(kind: SymbolKind) -> TokenKind {
    match kind {
        SymbolKind::Let | SymbolKind::Local => TokenKind::Variable,
        SymbolKind::Block(BlockKind::Block | BlockKind::Augment) => TokenKind::Function,
        SymbolKind::Block(BlockKind::Model) => TokenKind::Class,
        SymbolKind::Section(_) => TokenKind::Namespace,
        SymbolKind::Param => TokenKind::Parameter,
        SymbolKind::Column | SymbolKind::Setting => TokenKind::Property,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DIGITS, analyse};

    #[test]
    fn words_have_their_colours() {
        let analysis = analyse(DIGITS);
        let tokens = analysis.tokens(Span::new(0, u32::MAX));
        let kind = |before: &str| {
            let at = DIGITS.find(before).expect(before) as u32;
            let found = tokens.iter().find(|token| token.span.start == at);
            found.expect(before).kind
        };
        for (at, wanted) in [
            ("seed 2026", TokenKind::Keyword),
            ("// Handwritten", TokenKind::Comment),
            ("\"data/", TokenKind::String),
            ("epochs", TokenKind::Unit),
            ("|>", TokenKind::Operator),
            ("f32[", TokenKind::Type),
            ("conv(", TokenKind::Function),
            ("net(image", TokenKind::Class),
            ("digits {", TokenKind::Namespace),
            ("depth =", TokenKind::Variable),
            ("to: int", TokenKind::Parameter),
            ("label: class", TokenKind::Property),
            ("channel = 1", TokenKind::Axis),
            ("height, width])\n    |> drop", TokenKind::Axis),
        ] {
            assert_eq!(kind(at), wanted, "{at}");
        }
        assert!(
            tokens
                .iter()
                .all(|token| !token.span.text(DIGITS).contains('\n'))
        );
        assert!(tokens.is_sorted_by_key(|token| token.span.start));
    }
}
