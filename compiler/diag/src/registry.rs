//! Every code there is. To add one: a line here, and a page at `docs/errors/<family>/<name>.md`.

macro_rules! codes {
    ($($variant:ident $family:literal $name:literal $title:literal;)*) => {
        /// Which mistake. The word form is `family::name`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = concat!("`", $family, "::", $name, "`: ", $title, ".")] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the registry.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word form, `family::name`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => concat!($family, "::", $name),)* }
            }

            /// One line for lists.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// The page: explanation, web page and test, in Markdown.
            pub const fn page(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!("../../../docs/errors/", $family, "/", $name, ".md")),)*
                }
            }
        }
    };
}

codes! {
    SyntaxUnclosed "syntax" "unclosed" "a bracket is opened and never closed";
    SyntaxUnexpected "syntax" "unexpected" "something stands where it cannot be read";
    SyntaxMissingValue "syntax" "missing-value" "a value, name or type is missing";
    SyntaxEdition "syntax" "edition" "the first line does not name a known edition";
    SyntaxBadNumber "syntax" "bad-number" "a number is not written as a number";
    SyntaxBadString "syntax" "bad-string" "a string is not closed or holds an unknown escape";
    SettingUnknown "setting" "unknown" "a setting that nothing reads";
    SettingMissing "setting" "missing" "a setting that must be given is not";
    SettingDuplicate "setting" "duplicate" "a setting is given twice";
    SettingType "setting" "type" "a setting has a value of the wrong kind";
    NameUnknown "name" "unknown" "a name that nothing declares";
    NameDuplicate "name" "duplicate" "a name is declared twice";
    NameCycle "name" "cycle" "declarations need each other in a circle";
    NamePrivate "name" "private" "a name that stays in its file is used from another";
    UnitMissing "unit" "missing" "a number needs a unit";
    UnitWrong "unit" "wrong" "a unit that does not belong here";
    UnitMixed "unit" "mixed" "units that cannot be computed together";
    ShapeRank "shape" "rank" "a value has more or fewer axes than are taken";
    ShapeAxisSize "shape" "axis-size" "one axis has two sizes";
    ShapeAxisUnknown "shape" "axis-unknown" "an axis that the value does not have";
    ShapeAxisDuplicate "shape" "axis-duplicate" "one value has an axis twice";
    ShapeInexactDivision "shape" "inexact-division" "a size does not divide without a rest";
    ShapeClassCount "shape" "class-count" "the model and the labels count different classes";
    ShapeMismatch "shape" "mismatch" "a value does not have the shape that is declared";
    ShapeNotLike "shape" "not-like" "a value does not have the shape of the one it must be like";
    TypeMismatch "type" "mismatch" "a value of one kind where another is taken";
    TypeNotCallable "type" "not-callable" "something is called that is no block";
    TypeDtype "type" "dtype" "a number type that does not fit";
    TypeArgumentCount "type" "argument-count" "too many or too few arguments";
    ValueRange "value" "range" "a number lies outside what is allowed";
    LossDoubleSoftmax "loss" "double-softmax" "softmax is applied twice";
    LossNoGradient "loss" "no-gradient" "no parameter reaches the loss";
    SearchShapeCounterexample "search" "shape-counterexample" "a choice in the search space breaks the model";
    SearchLogFromZero "search" "log-from-zero" "a logarithmic range starts at zero";
    SearchRangeEmpty "search" "range-empty" "a range ends before it starts";
    SearchFigures "search" "figures" "a search cannot follow these figures in this way";
    SearchNoSpace "search" "no-space" "a search has nothing to choose";
    RandomOutsideTraining "random" "outside-training" "a random step reaches rows that are not for training";
    DataTestLeak "data" "test-leak" "test rows are used for a decision";
    DataNoSource "data" "no-source" "a data section has no source";
    DataNoSplit "data" "no-split" "rows of a split that is not made";
    DataMissingFile "data" "missing-file" "a data file is not there";
    DataWrongHash "data" "wrong-hash" "a file is not the one that was pinned";
    WeightsFormat "weights" "format" "a file of weights cannot be read";
    WeightsMissing "weights" "missing" "a parameter is to begin with weights that the file does not have";
    WeightsShape "weights" "shape" "a parameter has another type or shape than the weights it is to begin with";
    DataUnknownColumn "data" "unknown-column" "a column that the file does not have";
    DataNotANumber "data" "not-a-number" "a cell should hold a number and does not";
    DataRaggedRow "data" "ragged-row" "a row has more or fewer cells than the header";
    DataClassRange "data" "class-range" "a label lies outside the classes declared";
    DataTruncated "data" "truncated" "a file ends too early";
    DataEmptySplit "data" "empty-split" "a split has no rows";
    DataMissingValue "data" "missing-value" "a cell is empty and nothing says what to do";
    DataFormat "data" "format" "a file is not in the format its source reads";
    DataCache "data" "cache" "the rows of a streamed source cannot be kept or read";
    SeedMissing "seed" "missing" "the recipe has no seed";
    SeedInvalid "seed" "invalid" "the seed is not one of the three forms";
    BlockRecursion "block" "recursion" "a block contains itself";
    BlockNoResult "block" "no-result" "a block ends without a result";
    TrainNoLoss "train" "no-loss" "a train section has no loss";
    TrainNoLength "train" "no-length" "a train section does not say how long";
    TrainScheduleLength "train" "schedule-length" "the schedule and the training differ in length";
    CapabilityNotYet "capability" "not-yet" "the language can say it, this version cannot run it";
    FileNotFound "file" "not-found" "a file that is used is not there";
    FileEscape "file" "escape" "a path leads out of the recipe's folder";
    FileExists "file" "exists" "a file is in the way of a new one";
    FileCycle "file" "cycle" "files use each other in a circle";
    FileChanged "file" "changed" "a file that is used is not the one that was locked";
    RunNotFinite "run" "not-finite" "a number became infinite or not a number";
    RunDiskFull "run" "disk-full" "the run folder cannot be written";
    RunResumeMismatch "run" "resume-mismatch" "the run folder belongs to another recipe";
    RunDevice "run" "device" "a device is not there or was not admitted";
    RunPlan "run" "plan" "a plan contradicts itself or its data";
    RunIndexRange "run" "index-range" "a look-up reaches outside its table";
    RunFile "run" "file" "a file of the run folder cannot be read or written";
    RunDamaged "run" "damaged" "a file of the run folder is damaged";
    RunBusy "run" "busy" "another process runs in the folder";
    RunLog "run" "log" "another program cannot be told of a run";
    RunInterrupted "run" "interrupted" "the run was asked to end";
    RunProofsDiffer "run" "proofs-differ" "two proofs of a run do not agree";
    RunRequest "run" "request" "what was asked of a model does not fit it";
    RunEdition "run" "edition" "a run folder is of another edition than this program reads";
    RunNotRepeated "run" "not-repeated" "a step that was done twice gave two states";
    AuditChanged "audit" "changed" "a run folder is not as the run left it";
    AuditNotReproduced "audit" "not-reproduced" "steps that are done again come out differently";
    AuditSignature "audit" "signature" "a signature is missing or wrong";
    AuditKey "audit" "key" "a key cannot be made, found or opened";
    AuditDataMissing "audit" "data-missing" "no file has the content of a data file";
    StoreFile "store" "file" "a file of the store cannot be read or written";
    StoreDamaged "store" "damaged" "something in the store is not what its name says";
    StoreMissing "store" "missing" "an object that a run needs is not in the store";
    StoreUnknown "store" "unknown" "no run, or more than one, is meant by a name";
    StoreName "store" "name" "a name cannot be used, or is taken";
    StoreBusy "store" "busy" "another process is at work in the store";
    StoreRemote "store" "remote" "a remote cannot be reached, or refuses";
    StoreUntrusted "store" "untrusted" "a run of elsewhere is neither signed by a trusted key nor done again";
    LimitTooLarge "limit" "too-large" "the recipe exceeds a limit of the compiler";
    LegacyIo "legacy" "io" "a pack cannot be read or written";
    LegacyNotAPack "legacy" "not-a-pack" "a file is no pack of MMH-RS V1";
    LegacyNotARecipe "legacy" "not-a-recipe" "a pack stands where a recipe is read";
    LegacyLookAlike "legacy" "look-alike" "a file only looks like a pack";
    LegacyMalformed "legacy" "malformed" "the header of a pack is malformed";
    LegacyTruncated "legacy" "truncated" "a pack ends early";
    LegacyTrailingBytes "legacy" "trailing-bytes" "something follows the end of a pack";
    LegacyFrame "legacy" "frame" "a zstd frame is damaged";
    LegacyWindowTooLarge "legacy" "window-too-large" "a frame asks for too much memory";
    LegacyOutputTooLarge "legacy" "output-too-large" "a pack decodes to too much";
    LegacyTooManyRecords "legacy" "too-many-records" "a pack holds too many records";
    LegacySizeMismatch "legacy" "size-mismatch" "a record has another size than it declares";
    LegacyTotalMismatch "legacy" "total-mismatch" "the records do not add up";
    LegacyContentId "legacy" "content-id" "the content is not the one the header names";
    LegacyUnsafeName "legacy" "unsafe-name" "a name in a pack is unsafe";
    LegacyDuplicateName "legacy" "duplicate-name" "a name occurs twice in a pack";
    LegacyArchive "legacy" "archive" "the archive in a pack holds something else than plain files";
    LegacyOutputExists "legacy" "output-exists" "a file is in the way";
    LegacyPinMismatch "legacy" "pin-mismatch" "a pack is not the one that was pinned";
    LegacyBadPin "legacy" "bad-pin" "a pin is no hash";
    LegacyDocument "legacy" "document" "a manifest or a report cannot be understood";
    LegacyReplayMismatch "legacy" "replay-mismatch" "a regenerated data set is not the recorded one";
}

impl Code {
    /// The code with this word form, `family::name`.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// The part before `::`.
    pub fn family(self) -> &'static str {
        self.name()
            .split_once("::")
            .map_or("", |(family, _)| family)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The headings every page has, in this order, below its title `# family::name`.
pub const fn page_sections() -> [&'static str; 4] {
    ["## What it means", "## Wrong", "## Right", "## Why"]
}
