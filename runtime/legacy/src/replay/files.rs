//! The files of the benchmark data set: seven classes, made as V1 made them. The word lists and texts are V1's data
//! (MIT, © 2024 Robert Long).

use super::ReplaySeed;
use super::draws::Draws;

const PROSE: [&str; 20] = [
    "the", "and", "for", "with", "this", "that", "have", "will", "from", "they", "know", "want",
    "been", "good", "much", "some", "time", "very", "when", "come",
];
const KEYWORDS: [&str; 19] = [
    "fn", "let", "mut", "pub", "use", "mod", "struct", "enum", "impl", "trait", "match", "if",
    "else", "for", "while", "loop", "return", "break", "continue",
];
const PNG_SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A];
const SHORTEST: u64 = 4096;
const LONGEST: u64 = 1 << 20;

/// What kind of content a file has; the number is the class label of the byte classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileClass {
    /// `ai_model_….weights`: bytes in a pattern of eight.
    Weights = 0,
    /// `user_doc_….txt`: English words.
    Prose = 1,
    /// `code_file_….rs`: Rust keywords.
    Code = 2,
    /// `config_….json`: objects of two keys.
    Config = 3,
    /// `image_….png`: a PNG signature and noise.
    Image = 4,
    /// `log_….log`: lines that differ in one number.
    Log = 5,
    /// `data_….bin`: small bytes and noise by turns.
    Data = 6,
}

impl FileClass {
    /// All classes, by label.
    pub const ALL: [Self; 7] = [
        Self::Weights,
        Self::Prose,
        Self::Code,
        Self::Config,
        Self::Image,
        Self::Log,
        Self::Data,
    ];

    /// The class for a draw in `0..100`.
    fn from_draw(draw: u32) -> Self {
        match draw {
            0..=15 => Self::Weights,
            16..=30 => Self::Prose,
            31..=45 => Self::Code,
            46..=60 => Self::Config,
            61..=75 => Self::Image,
            76..=85 => Self::Log,
            _ => Self::Data,
        }
    }

    /// The label, 0 to 6.
    pub fn label(self) -> u32 {
        self as u32
    }

    fn name(self, index: u64) -> String {
        let (stem, extension) = match self {
            Self::Weights => ("ai_model", "weights"),
            Self::Prose => ("user_doc", "txt"),
            Self::Code => ("code_file", "rs"),
            Self::Config => ("config", "json"),
            Self::Image => ("image", "png"),
            Self::Log => ("log", "log"),
            Self::Data => ("data", "bin"),
        };
        format!("{stem}_{index:06}.{extension}")
    }
}

/// One file of the data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: FileClass,
    /// Its size in bytes.
    pub len: u64,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Where in the stream its content was drawn.
    position: u128,
}

/// Generates the files in the order V1 made them.
pub struct DataSet {
    draws: Draws,
    remaining: u64,
    index: u64,
}

impl DataSet {
    /// Starts at the first file.
    pub fn new(seed: ReplaySeed) -> Self {
        Self {
            draws: Draws::from_seed(seed.seed),
            remaining: seed.total_bytes,
            index: 0,
        }
    }

    /// Makes a file's content once more. The iteration must have ended: this moves the stream.
    pub(super) fn again(&mut self, file: &GeneratedFile) -> Vec<u8> {
        self.draws.seek(file.position);
        content(&mut self.draws, file.class, file.len)
    }
}

impl Iterator for DataSet {
    type Item = GeneratedFile;

    fn next(&mut self) -> Option<GeneratedFile> {
        if self.remaining == 0 {
            return None;
        }
        let len = SHORTEST + self.draws.below_wide(LONGEST + 1 - SHORTEST);
        let len = len.min(self.remaining);
        let class = FileClass::from_draw(self.draws.below(100));
        let position = self.draws.position();
        let bytes = content(&mut self.draws, class, len);
        let name = class.name(self.index);
        self.remaining -= len;
        self.index += 1;
        Some(GeneratedFile {
            name,
            class,
            len,
            bytes,
            position,
        })
    }
}

fn content(draws: &mut Draws, class: FileClass, len: u64) -> Vec<u8> {
    // At most LONGEST, so it fits every machine's word.
    let len = len as usize;
    match class {
        FileClass::Weights => (0..len).map(|at| weight(draws, at)).collect(),
        FileClass::Prose => text(len, |bytes| {
            let word = draws.below_wide(PROSE.len() as u64) as usize;
            bytes.extend_from_slice(PROSE[word].as_bytes());
            bytes.push(if draws.below(10) < 3 { b'\n' } else { b' ' });
        }),
        FileClass::Code => text(len, |bytes| {
            let word = draws.below_wide(KEYWORDS.len() as u64) as usize;
            bytes.extend_from_slice(KEYWORDS[word].as_bytes());
            bytes.push(b' ');
        }),
        FileClass::Config => text(len, |bytes| {
            let (key, value, number) = (draws.below(100), draws.below(100), draws.below(1000));
            let object = format!("{{\"key_{key}\": \"value_{value}\", \"number\": {number}}}");
            bytes.extend_from_slice(object.as_bytes());
        }),
        FileClass::Image => {
            let mut bytes = Vec::with_capacity(len);
            if len > PNG_SIGNATURE.len() {
                bytes.extend_from_slice(&PNG_SIGNATURE);
            }
            bytes.resize_with(len, || draws.below(256) as u8);
            bytes
        }
        FileClass::Log => text(len, |bytes| {
            let entry = draws.below(10_000);
            let line =
                format!("[2024-01-01 12:00:00] INFO: Log entry {entry} - User action completed\n");
            bytes.extend_from_slice(line.as_bytes());
        }),
        FileClass::Data => (0..len)
            .map(|at| {
                if at % 100 < 70 {
                    draws.below(50) as u8
                } else {
                    draws.word() as u8
                }
            })
            .collect(),
    }
}

fn weight(draws: &mut Draws, at: usize) -> u8 {
    let drawn = match at % 8 {
        0 => draws.below(10),
        1 => draws.below(100),
        2 => draws.below(1000),
        3 => 0,
        4 => 255,
        5 => 128 + draws.below(4),
        6 => draws.below(2),
        _ => draws.below(50),
    };
    drawn as u8
}

/// Adds pieces until there are `len` bytes, and cuts the last one.
fn text(len: usize, mut add: impl FnMut(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 128);
    while bytes.len() < len {
        add(&mut bytes);
    }
    bytes.truncate(len);
    bytes
}
