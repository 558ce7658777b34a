//! What a recipe says, as owned values with a span on everything: the checker's input. Start at [`File`].
//!
//! A part that is not there is [`Expr::Missing`], [`Type::Missing`] or `None`; the syntax stage has already said so, and
//! later stages stay silent about it.

use mmh_diag::Span;

/// One identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The letters.
    pub text: String,
    /// Where they stand.
    pub span: Span,
}

/// Names joined by dots, at least one: `digits`, `digits.train`, `tune.best.net`. An empty last name (`digits.`) is
/// dropped, and its absence reported by the syntax stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The names, in order.
    pub names: Vec<Name>,
    /// From the first to the last.
    pub span: Span,
}

impl Path {
    /// The only name, or nothing where there are several.
    pub fn single(&self) -> Option<&Name> {
        match self.names.as_slice() {
            [name] => Some(name),
            _ => None,
        }
    }

    /// The names joined by dots.
    pub fn text(&self) -> String {
        self.names
            .iter()
            .map(|name| name.text.as_str())
            .collect::<Vec<_>>()
            .join(".")
    }
}

/// A string, its escapes resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The text between the quotes.
    pub value: String,
    /// With the quotes.
    pub span: Span,
}

/// `@key "old name"`: the thing that follows keeps the random numbers it had under that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The old name.
    pub name: Text,
    /// With the `@key`.
    pub span: Span,
}

/// A whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// `mmh 1`.
    pub edition: Option<Edition>,
    /// The declarations, in the order written.
    pub items: Vec<Item>,
    /// All of it.
    pub span: Span,
}

/// `mmh 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    /// The number after `mmh`, as written.
    pub number: String,
    /// Both words.
    pub span: Span,
}

/// One declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `use "file" { names }`.
    Use(Use),
    /// `seed 7`.
    Seed(Seed),
    /// `let name = value`.
    Let(Let),
    /// `block`, `model` or `augment`.
    Block(Block),
    /// `data`, `train`, `search`, `evaluate`, `export` or `federate`.
    Section(Section),
}

impl Item {
    /// All of the declaration, without its doc comment.
    pub fn span(&self) -> Span {
        match self {
            Self::Use(it) => it.span,
            Self::Seed(it) => it.span,
            Self::Let(it) => it.span,
            Self::Block(it) => it.span,
            Self::Section(it) => it.span,
        }
    }

    /// The name it declares, if it declares one.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Use(_) | Self::Seed(_) => None,
            Self::Let(it) => Some(&it.name),
            Self::Block(it) => Some(&it.name),
            Self::Section(it) => it.name.as_ref(),
        }
    }
}

/// `use "file" { names }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The file, relative to the one that says `use`.
    pub file: Option<Text>,
    /// What is taken from it.
    pub names: Vec<Name>,
    /// All of it.
    pub span: Span,
}

/// `seed …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// What stands after the word.
    pub value: SeedValue,
    /// All of it.
    pub span: Span,
}

/// The three forms of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeedValue {
    /// Decimal digits, any number of them, without `_`.
    Integer(String),
    /// A string that is not 64 hexadecimal digits.
    Phrase(Text),
    /// The digits of `0x…` (any number of them) or of a string of exactly 64, in lower case.
    Hex(String),
    /// Nothing readable; already reported.
    Missing,
}

/// `let name = value` or, in a body, `name: type = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Let {
    /// What it is called.
    pub name: Name,
    /// `: type`, if given.
    pub ty: Option<Type>,
    /// The value.
    pub value: Expr,
    /// The name whose random numbers it keeps.
    pub key: Option<Key>,
    /// The `///` lines above, joined by newlines.
    pub doc: Option<String>,
    /// All of it, without the doc comment.
    pub span: Span,
}

/// The three declarations with parameters and a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockKind {
    /// `block`.
    Block,
    /// `model`.
    Model,
    /// `augment`.
    Augment,
}

impl BlockKind {
    /// The keyword.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Model => "model",
            Self::Augment => "augment",
        }
    }
}

/// `block name(params) -> type { body }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Which keyword.
    pub kind: BlockKind,
    /// What it is called.
    pub name: Name,
    /// In the order written.
    pub params: Vec<Param>,
    /// `-> type`, if given.
    pub returns: Option<Type>,
    /// What it does.
    pub body: Body,
    /// The name whose random numbers it keeps.
    pub key: Option<Key>,
    /// The `///` lines above, joined by newlines.
    pub doc: Option<String>,
    /// All of it, without the doc comment.
    pub span: Span,
}

/// `name: type = default`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// What it is called.
    pub name: Name,
    /// Its type; [`Type::Missing`] if not given.
    pub ty: Type,
    /// The value where the caller gives none.
    pub default: Option<Expr>,
    /// The name whose random numbers it keeps.
    pub key: Option<Key>,
    /// All of it.
    pub span: Span,
}

/// `{ locals result }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// `let` and typed names, in order.
    pub locals: Vec<Let>,
    /// The value of the whole, if one is given.
    pub result: Option<Expr>,
    /// With the braces.
    pub span: Span,
}

/// The declarations that are lists of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SectionKind {
    /// `data`.
    Data,
    /// `train`.
    Train,
    /// `search`.
    Search,
    /// `evaluate`.
    Evaluate,
    /// `export`.
    Export,
    /// `federate`.
    Federate,
}

impl SectionKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Data,
        Self::Train,
        Self::Search,
        Self::Evaluate,
        Self::Export,
        Self::Federate,
    ];

    /// The keyword.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Train => "train",
            Self::Search => "search",
            Self::Evaluate => "evaluate",
            Self::Export => "export",
            Self::Federate => "federate",
        }
    }
}

/// `train name { fields }`, or without a name as a value: `local = train { fields }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Which keyword.
    pub kind: SectionKind,
    /// The keyword's place.
    pub kind_span: Span,
    /// What it is called; none where it is a value.
    pub name: Option<Name>,
    /// In the order written.
    pub fields: Vec<Field>,
    /// The name whose random numbers it keeps.
    pub key: Option<Key>,
    /// The `///` lines above, joined by newlines.
    pub doc: Option<String>,
    /// All of it, without the doc comment.
    pub span: Span,
}

/// `name = value` or `name: type = value` in a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// What it is called.
    pub name: Name,
    /// `: type`, if given.
    pub ty: Option<Type>,
    /// The value.
    pub value: Expr,
    /// The name whose random numbers it keeps.
    pub key: Option<Key>,
    /// All of it.
    pub span: Span,
}

/// What stands after `:` or `->`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// A word, with axes if there is a bracket: `int`, `block`, `class[10]`, `f32[..., feature]`.
    Named {
        /// The word.
        name: Name,
        /// What the bracket holds; `None` without a bracket.
        axes: Option<Vec<Axis>>,
        /// All of it.
        span: Span,
    },
    /// `like x`: the shape of `x`.
    Like {
        /// What it is like.
        of: Path,
        /// All of it.
        span: Span,
    },
    /// Nothing readable; already reported.
    Missing(Span),
}

impl Type {
    /// All of it.
    pub fn span(&self) -> Span {
        match self {
            Self::Named { span, .. } | Self::Like { span, .. } | Self::Missing(span) => *span,
        }
    }
}

/// One entry in the bracket of a type or of a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Axis {
    /// `...`: whatever other axes come along.
    Rest(Span),
    /// `height` or `height = h / 2`.
    Named {
        /// What it is called.
        name: Name,
        /// Its size; a bare name is its own size variable.
        size: Option<Expr>,
    },
    /// A size without a name: `class[10]`.
    Size(Expr),
}

/// Something with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// `8`, `0.5`, `3e-4`, `0x1f`; without `_`. Signs are [`Expr::Unary`].
    Number {
        /// The number as written.
        text: String,
        /// Its place.
        span: Span,
    },
    /// A number and its unit: `30 epochs`, `12deg`, `70%` (the unit is then `%`).
    Quantity {
        /// The number as written, without `_`.
        number: String,
        /// The unit.
        unit: Name,
        /// Both.
        span: Span,
    },
    /// `"text"`.
    Text(Text),
    /// `true` or `false`.
    Bool {
        /// Which.
        value: bool,
        /// Its place.
        span: Span,
    },
    /// A name, or names joined by dots.
    Path(Path),
    /// `name(arguments)`.
    Call(Call),
    /// `[a, b]`.
    List {
        /// What it holds.
        items: Vec<Expr>,
        /// With the brackets.
        span: Span,
    },
    /// `[row = 14, column]`: a list in which an axis has a size.
    Shape {
        /// In the order written.
        axes: Vec<Axis>,
        /// With the brackets.
        span: Span,
    },
    /// `...` in a list or as an argument.
    Rest(Span),
    /// `-a` or `not a`.
    Unary {
        /// Which.
        op: UnaryOp,
        /// Its place.
        op_span: Span,
        /// What it is applied to.
        operand: Box<Expr>,
        /// All of it.
        span: Span,
    },
    /// `a + b` and its like.
    Binary {
        /// Which.
        op: BinaryOp,
        /// Its place.
        op_span: Span,
        /// On the left.
        lhs: Box<Expr>,
        /// On the right.
        rhs: Box<Expr>,
        /// All of it.
        span: Span,
    },
    /// `value |> step`.
    Pipe {
        /// What flows.
        lhs: Box<Expr>,
        /// Where it flows to: a call or a path.
        rhs: Box<Expr>,
        /// The place of the `|>`.
        op_span: Span,
        /// All of it.
        span: Span,
    },
    /// `default ~ space`.
    Choice {
        /// The value without a search.
        default: Box<Expr>,
        /// What a search draws from.
        space: Box<Expr>,
        /// The place of the `~`.
        op_span: Span,
        /// All of it.
        span: Span,
    },
    /// `lo .. hi`.
    Range {
        /// Where it starts.
        lo: Box<Expr>,
        /// Where it ends.
        hi: Box<Expr>,
        /// The place of the `..`.
        op_span: Span,
        /// All of it.
        span: Span,
    },
    /// `if c { a } else { b }`; a chain `else if` nests in `otherwise`.
    If {
        /// Known at compile time.
        condition: Box<Expr>,
        /// Where it holds.
        then: Box<Expr>,
        /// Where it does not; [`Expr::Missing`] if not given (already reported).
        otherwise: Box<Expr>,
        /// All of it.
        span: Span,
    },
    /// A section as a value: `train { … }`.
    Section(Box<Section>),
    /// `(a)`.
    Group {
        /// What it holds.
        inner: Box<Expr>,
        /// With the parentheses.
        span: Span,
    },
    /// Nothing readable; already reported.
    Missing(Span),
}

impl Expr {
    /// All of it.
    pub fn span(&self) -> Span {
        match self {
            Self::Number { span, .. }
            | Self::Quantity { span, .. }
            | Self::Bool { span, .. }
            | Self::List { span, .. }
            | Self::Shape { span, .. }
            | Self::Rest(span)
            | Self::Unary { span, .. }
            | Self::Binary { span, .. }
            | Self::Pipe { span, .. }
            | Self::Choice { span, .. }
            | Self::Range { span, .. }
            | Self::If { span, .. }
            | Self::Group { span, .. }
            | Self::Missing(span) => *span,
            Self::Text(text) => text.span,
            Self::Path(path) => path.span,
            Self::Call(call) => call.span,
            Self::Section(section) => section.span,
        }
    }

    /// The expression inside any parentheses around it.
    pub fn ungrouped(&self) -> &Self {
        let mut expr = self;
        while let Self::Group { inner, .. } = expr {
            expr = inner;
        }
        expr
    }
}

/// `name(arguments)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is called.
    pub callee: Path,
    /// In the order written.
    pub args: Vec<Arg>,
    /// The name whose random numbers it keeps.
    pub key: Option<Key>,
    /// The parentheses and what they hold.
    pub args_span: Span,
    /// All of it.
    pub span: Span,
}

/// `value` or `name = value` in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// The setting's name; none where the place says which it is.
    pub name: Option<Name>,
    /// The value.
    pub value: Expr,
    /// Both.
    pub span: Span,
}

/// What stands before one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnaryOp {
    /// `-`.
    Negate,
    /// `not`.
    Not,
}

impl UnaryOp {
    /// As written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Negate => "-",
            Self::Not => "not",
        }
    }
}

/// What stands between two operands. `|>`, `~` and `..` are expressions of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BinaryOp {
    /// `+`.
    Add,
    /// `-`.
    Subtract,
    /// `*`.
    Multiply,
    /// `/`: exact in a shape.
    Divide,
    /// `//`: rounds down.
    FloorDivide,
    /// `%` between two operands, with a space before it: what is left over by `//`.
    Remainder,
    /// `==`.
    Equal,
    /// `!=`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterEqual,
    /// `and`.
    And,
    /// `or`.
    Or,
}

impl BinaryOp {
    /// Every operator.
    pub const ALL: [Self; 14] = [
        Self::Add,
        Self::Subtract,
        Self::Multiply,
        Self::Divide,
        Self::FloorDivide,
        Self::Remainder,
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessEqual,
        Self::Greater,
        Self::GreaterEqual,
        Self::And,
        Self::Or,
    ];

    /// As written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::FloorDivide => "//",
            Self::Remainder => "%",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::And => "and",
            Self::Or => "or",
        }
    }
}
