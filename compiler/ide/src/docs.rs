//! One sentence for every word of the language and every setting of the closed lists.

use mmh_syntax::ast::SectionKind;

/// Sentences for settings: who takes it (empty for all), its name, what it says. A taker's own line comes first.
const SETTINGS: &[(&str, &str, &str)] = &[
    ("rename", "x", "The value whose axis is renamed."),
    ("", "x", "The value that flows in."),
    ("", "a", "The first value."),
    ("", "b", "The second value."),
    ("", "c", "The value added."),
    ("", "exponent", "The power."),
    ("", "condition", "Where it holds, `x` stays."),
    ("", "else", "What stands where the condition does not hold."),
    ("", "over", "The axes that are taken together."),
    ("", "axis", "The axis meant."),
    ("", "axes", "The axes meant, in their new order."),
    ("", "into", "The name of the new axis."),
    ("folds", "of", "Which fold is held out, from 0."),
    ("fold", "of", "Which fold is held out, from 0."),
    ("", "of", "The value whose axis is counted."),
    ("batch", "size", "Rows of one step."),
    ("", "size", "How many elements along the axis."),
    ("", "tap", "The name of the axis inside a window."),
    (
        "",
        "stride",
        "How far from one window to the next; 1 if not given.",
    ),
    (
        "",
        "padding",
        "`\"same\"` keeps the size, `\"valid\"` takes whole windows only.",
    ),
    (
        "",
        "fill",
        "What stands outside the picture; 0 if not given.",
    ),
    ("", "index", "Numbers of the entries wanted."),
    ("", "table", "Where the entries are taken from."),
    ("", "image", "The pictures that are sampled."),
    ("", "row", "Where to look, in rows."),
    ("", "column", "Where to look, in columns."),
    (
        "param",
        "shape",
        "The axes of the parameter, with sizes or by name.",
    ),
    (
        "",
        "shape",
        "The new axes and their sizes, such as `[row = 8, column = 8]`.",
    ),
    (
        "",
        "init",
        "How the first values are drawn: `zeros`, `ones` or a named scheme.",
    ),
    (
        "",
        "fan",
        "Inputs of one element, which scale the first values.",
    ),
    ("warmup", "from", "Share of the learning rate at the start."),
    (
        "linear",
        "from",
        "The axes that are contracted; or, in a schedule, the share at the start.",
    ),
    ("", "from", "Where it starts."),
    ("", "bias", "Whether a bias is added; true if not given."),
    ("conv", "to", "How many channels come out."),
    ("linear", "to", "The share of the learning rate at the end."),
    ("export", "to", "The format and the file."),
    ("", "to", "Where it ends."),
    (
        "",
        "kernel",
        "Height and width of the window; 3 if not given.",
    ),
    ("", "along", "The axis it goes along."),
    (
        "sgd",
        "momentum",
        "Share of the last step that is kept; 0 if not given.",
    ),
    (
        "",
        "momentum",
        "Share of the new batch in the running statistics; 0.1 if not given.",
    ),
    (
        "adam",
        "epsilon",
        "Added below the fraction line; 1e-8 if not given.",
    ),
    (
        "adamw",
        "epsilon",
        "Added below the fraction line; 1e-8 if not given.",
    ),
    (
        "gaussian",
        "epsilon",
        "How much may be learnt about one client: less is more private.",
    ),
    (
        "",
        "epsilon",
        "Added before dividing, so that nothing divides by zero.",
    ),
    ("", "p", "The probability, from 0 to 1."),
    ("", "label", "The classes that are right."),
    ("", "target", "The values that are right."),
    ("", "q", "The queries."),
    ("folds", "k", "How many folds."),
    ("fold", "k", "How many folds."),
    ("", "k", "The keys."),
    ("", "v", "The values."),
    ("", "key", "The axis of the keys."),
    ("", "scale", "A factor of the scores; 1 if not given."),
    ("", "causal", "The axis along which nothing later is seen."),
    ("", "range", "From where to where, as `lo .. hi`."),
    (
        "",
        "like",
        "The value, or the shape, whose axes the draws take.",
    ),
    ("", "std", "The standard deviation."),
    ("", "n", "How often."),
    ("", "block", "The block that is applied."),
    (
        "evaluate",
        "rows",
        "The rows that are measured: `digits.test`.",
    ),
    (
        "train",
        "rows",
        "The rows that are trained on: `digits.train |> shuffle |> batch(64)`.",
    ),
    ("", "rows", "Rows of data."),
    (
        "",
        "with",
        "`mean`, `median` or `mode` of the training rows.",
    ),
    ("train", "start", "Where the parameters start."),
    ("", "start", "The value it starts from."),
    ("", "step", "The block of one step."),
    ("", "alpha", "How even the mixes are: small is uneven."),
    ("", "path", "The file, inside the recipe's folder."),
    (
        "",
        "blake3",
        "The hash of the file, 64 hexadecimal digits; `mmhc lock` finds it.",
    ),
    ("legacy", "as", "What the file is read as."),
    ("legacy", "file", "The file inside the pack."),
    ("", "delimiter", "What separates cells; found if not given."),
    ("", "images", "IDX files of pictures."),
    ("", "labels", "IDX files of labels, as many."),
    ("", "window", "Characters of one row."),
    (
        "",
        "by",
        "The column whose classes keep their shares in every part.",
    ),
    ("", "train", "Share of the rows to train on."),
    ("", "valid", "Share of the rows to choose by."),
    (
        "",
        "test",
        "Share of the rows for the last measurement only.",
    ),
    (
        "",
        "source",
        "The file: `csv(\"data.csv\")`, `idx(…)` or `text(…)`.",
    ),
    (
        "",
        "split",
        "How rows are dealt to training, validation and test.",
    ),
    ("", "predict", "What the model says of the rows."),
    ("", "loss", "One number that training makes small."),
    ("", "optimize", "The optimiser: `adamw(lr = 3e-3)`."),
    (
        "",
        "schedule",
        "The learning rate over time: `[warmup(2 epochs), cosine(28 epochs)]`.",
    ),
    (
        "train",
        "length",
        "How long to train: `30 epochs` or `600 steps`.",
    ),
    ("federate", "length", "How many rounds."),
    ("", "length", "How long it lasts, in epochs or steps."),
    (
        "gaussian",
        "clip",
        "The longest update that one client may send.",
    ),
    (
        "",
        "clip",
        "The longest gradient; longer ones are scaled down.",
    ),
    (
        "",
        "watch",
        "The figure that decides the best step: `accuracy(…, on = digits.valid)`.",
    ),
    ("step", "every", "How long until the next step."),
    ("", "every", "How often it is measured."),
    (
        "",
        "patience",
        "Measurements without a better one before training stops.",
    ),
    ("", "checkpoint", "How often the state is saved."),
    (
        "",
        "audit",
        "The share of steps that is done again on another device: `1/1000 steps`.",
    ),
    (
        "",
        "precision",
        "The numbers computed with: `bf16` keeps activations in half the memory; without it `f32`.",
    ),
    (
        "",
        "accumulate",
        "Batches whose gradients are added up before a step.",
    ),
    ("", "average", "A running average of the parameters."),
    (
        "",
        "shards",
        "Parts of a batch whose gradients are combined by a fixed tree.",
    ),
    (
        "evaluate",
        "model",
        "The trained model: `fit.best` or `fit.last`.",
    ),
    ("", "model", "The model that is written: `fit.best.net`."),
    ("", "metrics", "What is measured: `[accuracy, confusion]`."),
    ("", "run", "The training that is searched."),
    (
        "",
        "maximize",
        "The figure to make large, or several: `fit.watch`, `check.accuracy`.",
    ),
    (
        "",
        "minimize",
        "The figure to make small, or several: `[parameters, flops]`.",
    ),
    (
        "",
        "method",
        "How trials are compared: `halving`, `hyperband`, `median`, `patience`, `threshold` or `full`.",
    ),
    (
        "",
        "propose",
        "How choices are proposed: `tpe`, `gp`, `cmaes`, `nsga2`, `sobol`, `random` or `grid`.",
    ),
    ("", "budget", "How many trials: `64 trials`."),
    (
        "",
        "lag",
        "How many of the newest trials a proposal does not read: so many may run beside it.",
    ),
    (
        "",
        "where",
        "What every proposal must fulfil: `wide * depth <= 96`.",
    ),
    (
        "",
        "memory",
        "Bytes that a trial may take; one that is planned with more is not run.",
    ),
    (
        "",
        "wait",
        "Rungs without a better figure before a trial ends.",
    ),
    (
        "",
        "bound",
        "The figure that a trial must not be worse than at a rung.",
    ),
    ("", "population", "Trials of a generation."),
    ("", "points", "Values of a range in a grid."),
    (
        "",
        "verify",
        "How the written model is compared: `close(on = …, within = 1e-5)`.",
    ),
    ("", "rungs", "Lengths after which the worse trials end."),
    ("", "keep", "Share of the trials that goes on."),
    (
        "",
        "startup",
        "Trials drawn at random before the model proposes.",
    ),
    ("onnx", "batch", "Rows of one call, or `any`."),
    ("", "batch", "Rows of one call."),
    (
        "",
        "on",
        "The rows it is measured on, or the parameters it moves.",
    ),
    ("", "within", "The largest difference allowed."),
    ("", "clients", "The data set whose parts are the clients."),
    ("", "local", "What each client does: `train { … }`."),
    ("", "invite", "How many clients each round asks."),
    (
        "",
        "wait",
        "How many answers, or how long, a round waits for.",
    ),
    (
        "",
        "combine",
        "How updates become one: `fedavg(weight = samples)`.",
    ),
    (
        "",
        "privacy",
        "`gaussian(…)`, or `none`, which must be written.",
    ),
    ("", "weight", "What an update counts by."),
    ("", "share", "Share of the updates left away at each end."),
    ("", "delta", "The probability that the privacy bound fails."),
    ("", "lr", "The learning rate."),
    (
        "",
        "betas",
        "Shares of the first and second moment kept; `[0.9, 0.999]` if not given.",
    ),
    (
        "",
        "decay",
        "How fast parameters shrink; 0.01 for `adamw`, else 0, if not given.",
    ),
    (
        "",
        "nesterov",
        "Whether the gradient is taken a step ahead; false if not given.",
    ),
    (
        "",
        "floor",
        "The learning rate at the end, as a share; 0 if not given.",
    ),
    ("", "factor", "What the learning rate is multiplied by."),
];

/// What a setting of `owner` says; empty for what no list knows.
pub(crate) fn setting(owner: &str, name: &str) -> &'static str {
    let own = |wanted: &str| {
        SETTINGS
            .iter()
            .find(|line| line.0 == wanted && line.1 == name)
    };
    own(owner).or_else(|| own("")).map_or("", |line| line.2)
}

/// What one of a closed list is.
pub(crate) fn choice(name: &str) -> &'static str {
    match name {
        "legacy" => "A file of a pack that MMH-RS 1 wrote.",
        "csv" => "A table of text, with a header.",
        "idx" => "IDX files, as MNIST has them.",
        "text" => "A text cut into windows of characters.",
        "stratified" => "Every part gets the same share of every class.",
        "random" => "Drawn at random.",
        "sequential" => "In the order of the file.",
        "files" => "The last pair of files is the test part.",
        "folds" => "Cross-validation in k folds.",
        "sgd" => "Stochastic gradient descent, with momentum if asked for (Robbins & Monro 1951).",
        "adam" => "Steps scaled by running moments (Kingma & Ba 2014).",
        "adamw" => "Adam with decoupled weight decay (Loshchilov & Hutter 2017).",
        "warmup" => "The learning rate rises from 0.",
        "cosine" => "The learning rate falls along half a cosine (Loshchilov & Hutter 2016).",
        "linear" => "The learning rate moves along a line.",
        "step" => "The learning rate is multiplied by a factor every so often.",
        "constant" => "The learning rate stays.",
        "accuracy" => "Share of the rows whose class is right.",
        "confusion" => "How often each class was taken for each.",
        "loss" => "The training's loss.",
        "cross_entropy" => "Mean of −log of the probability given to the right class.",
        "bits_per_character" => "Cross-entropy to the base 2.",
        "perplexity" => "e to the cross-entropy.",
        "mse" => "Mean of squared differences.",
        "rmse" => "Root of the mean of squared differences.",
        "mae" => "Mean of absolute differences.",
        "halving" => "Successive halving: the worse trials end early (Jamieson & Talwalkar 2016).",
        "full" => "Every trial runs to its end.",
        "tpe" => "Tree-structured Parzen estimators (Bergstra et al. 2011).",
        "hyperband" => {
            "Brackets of successive halving that start at longer and longer rungs (Li et al. 2018)."
        }
        "patience" => "A trial ends when rungs in a row brought nothing better.",
        "threshold" => "A trial ends when its figure is worse than a bound.",
        "cmaes" => "Covariance matrix adaptation (Hansen 2016).",
        "sobol" => "A scrambled Sobol sequence (Joe & Kuo 2008).",
        "gp" => "The improvement that a Gaussian process expects (Jones et al. 1998).",
        "nsga2" => "Breeding, for several figures at once (Deb et al. 2002).",
        "grid" => "Every combination in order.",
        "onnx" => "An ONNX file.",
        "safetensors" => "A safetensors file.",
        "close" => "The outputs differ by no more than a bound.",
        "equal" => "The outputs are the same, bit for bit.",
        "fedavg" => "The weighted mean of the updates (McMahan et al. 2017).",
        "median" => "The median: of a federated round's updates, or of the trials before.",
        "trimmed" => "The mean without the outermost updates.",
        "gaussian" => "Noise that bounds what is learnt about one client (Dwork & Roth 2014).",
        "none" => "No privacy.",
        "f32" => "Numbers of 32 bits throughout.",
        "bf16" => {
            "Products take and give numbers of 16 bits; parameters, sums and optimisers keep 32 (Kalamkar et al. 2019)."
        }
        "choice" => "One of the values listed.",
        "uniform" => "Evenly from a range.",
        "log" => "Evenly from the logarithm of a range.",
        "int" => "A whole number of a range.",
        "bool" => "`true` or `false`.",
        _ => "",
    }
}

/// What a section is for.
pub(crate) fn section(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::Data => {
            "A data set: where it comes from, its columns with their types, and how it is split."
        }
        SectionKind::Train => "A training: rows, prediction, loss, optimiser and length.",
        SectionKind::Search => "A search over the choices written with `~`.",
        SectionKind::Evaluate => {
            "Measurements of a trained model; the one place that may read test rows."
        }
        SectionKind::Export => "A trained model written to a file of another format.",
        SectionKind::Federate => "A training over clients that keep their data.",
    }
}

/// What a keyword says.
pub(crate) fn keyword(word: &str) -> &'static str {
    match word {
        "mmh" => "The edition of the language, the first line of every file.",
        "use" => "Takes names from another file: `use \"parts.mmh\" { residual }`.",
        "seed" => {
            "The number, phrase or 256 bits that every draw comes from. `mmhc seed` draws a fresh one."
        }
        "let" => "Names a value.",
        "block" => "A piece of a model, with parameters of its own at every call.",
        "model" => "A block that is trained: what flows in, and what flows out.",
        "augment" => "A random change of one row, for training rows only.",
        "like" => "The shape of another value.",
        "if" | "else" => "One of two, chosen by what is known before the recipe runs.",
        "and" | "or" | "not" => "Joins conditions.",
        "true" | "false" => "A condition that is known.",
        "@key" => "Keeps the random numbers that a name had before it was renamed.",
        other => SectionKind::ALL
            .into_iter()
            .find(|kind| kind.word() == other)
            .map_or("", section),
    }
}

/// What values a type holds.
pub(crate) fn type_word(word: &str) -> &'static str {
    match word {
        "f32" => "numbers of 32 bits (IEEE 754), one for each place of its axes.",
        "i32" => "whole numbers, one for each place of its axes.",
        "bool" => "true or false.",
        "class" => "class numbers below the count in the bracket.",
        "int" => "a whole number that is known while the recipe is checked.",
        "float" => "a number, or a share such as `10%`.",
        "text" => "a text in quotes.",
        "block" => "a block to be called, by its name or with some settings given.",
        "axis" => "the name of an axis.",
        "axes" => "names of axes, such as `[height, width]`.",
        "shape" => "axes with their sizes, such as `[row = 8, column = 8]`.",
        "range" => "two ends, such as `-12deg .. 12deg`.",
        _ => "",
    }
}

/// What a member of a data set, a training or a column is.
pub(crate) fn member(word: &str) -> &'static str {
    match word {
        "train" => "The rows to train on.",
        "valid" => "The rows to choose by.",
        "test" => "The rows for the last measurement only.",
        "best" => "The parameters at the best step by `watch`.",
        "last" => "The parameters after the last step.",
        "classes" => "How many classes the column has.",
        "watch" => "The figure that the training watches.",
        "elements" => "The product of the sizes of a shape.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmh_check::editor;

    #[test]
    fn every_type_has_a_sentence() {
        for word in editor::type_words() {
            assert!(type_word(word).ends_with('.'), "{word}");
        }
    }

    #[test]
    fn every_setting_and_choice_has_a_sentence() {
        let mut missing = Vec::new();
        for (name, _, _) in mmh_check::primitive_signatures() {
            for setting in editor::primitive_settings(name).expect("a primitive").0 {
                missing.extend(
                    self::setting(name, setting)
                        .is_empty()
                        .then_some((name, *setting)),
                );
            }
        }
        let mut callable = editor::spaces().to_vec();
        for kind in SectionKind::ALL {
            for name in editor::section_settings(kind) {
                let none = self::setting(kind.word(), name).is_empty();
                missing.extend(none.then_some((kind.word(), *name)));
                callable.extend(editor::setting_choices(kind, name));
            }
        }
        for (name, settings) in callable {
            missing.extend(choice(name).is_empty().then_some((name, "")));
            for setting in settings {
                missing.extend(
                    self::setting(name, setting)
                        .is_empty()
                        .then_some((name, *setting)),
                );
            }
        }
        assert_eq!(missing, []);
    }
}
