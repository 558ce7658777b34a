/// Declares the kinds once, with the word each has in the text form.
macro_rules! kinds {
    ($($variant:ident $word:literal $doc:literal;)*) => {
        /// What a node or a token of the tree is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $(#[doc = $doc] $variant,)* }

        impl Kind {
            /// Every kind: nodes first, then tokens.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word in the text form.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

kinds! {
    File "file" "A whole file.";
    Edition "edition" "`mmh 1`.";
    Use "use" "`use \"file\" { names }`.";
    Names "names" "The braces of a `use`.";
    Seed "seed" "`seed 7`.";
    Let "let" "`let name = value`.";
    Block "block" "`block`, `model` or `augment`.";
    Section "section" "A section with a name.";
    Key "key" "`@key \"old name\"`.";
    Params "params" "The parentheses of a block.";
    Param "param" "`name: type = default`.";
    Returns "returns" "`-> type`.";
    Body "body" "The braces of a block.";
    Bind "bind" "`name: type = value` in a body.";
    Fields "fields" "The braces of a section.";
    Field "field" "`name = value` in a section.";
    Nested "nested" "`name { … }` in a section, which has no meaning.";
    LikeType "like-type" "`like x`.";
    NamedType "named-type" "`f32[…]`.";
    Axes "axes" "The brackets of a type.";
    Axis "axis" "One entry of them, or one of a list with its size.";
    Prefix "prefix" "An operator and its operand.";
    Binary "binary" "An operator between two operands.";
    TooDeep "too-deep" "An expression nested beyond the limit, kept flat.";
    Quantity "quantity" "A number and its unit.";
    List "list" "`[a, b]`, `[row = 8]`.";
    Group "group" "`(a)`.";
    If "if" "`if c { a } else { b }`.";
    Braced "braced" "The braces of an `if`.";
    SectionValue "section-value" "A section without a name.";
    Keyed "keyed" "A call behind its `@key`.";
    Call "call" "`name(arguments)`.";
    Args "args" "The parentheses of a call.";
    Arg "arg" "One argument.";
    Path "path" "Names joined by dots.";
    Whitespace "whitespace" "Blanks and newlines.";
    Comment "comment" "`// …`.";
    Doc "doc" "`/// …`.";
    Keyword "keyword" "A word of the language.";
    Name "name" "A word of the user's.";
    Unit "unit" "A unit, also `%`.";
    Number "number" "A number.";
    BadNumber "bad-number" "A number in no known form.";
    String "string" "A string with its quotes.";
    BadString "bad-string" "A string without its end, or with an unknown escape.";
    Operator "operator" "What stands before or between operands.";
    Mark "mark" "Brackets, `,`, `:`, `=`, `.`, `->`, `...`.";
    Junk "junk" "What could not be read.";
    Missing "missing" "Nothing, where something belongs.";
    MissingClose "missing-close" "Nothing, where a closing bracket belongs.";
}

impl Kind {
    /// The kind with this word in the text form.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }

    /// True for tokens, which hold text and no children.
    pub fn is_token(self) -> bool {
        self >= Self::Whitespace
    }

    /// True for blanks and comments.
    pub fn is_trivia(self) -> bool {
        matches!(self, Self::Whitespace | Self::Comment | Self::Doc)
    }

    /// True where the text is broken.
    pub fn is_error(self) -> bool {
        matches!(
            self,
            Self::Junk
                | Self::Missing
                | Self::MissingClose
                | Self::BadNumber
                | Self::BadString
                | Self::Nested
                | Self::TooDeep
        )
    }
}
