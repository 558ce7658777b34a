//! What people write who come from elsewhere, and what it is here: one table for names, settings and the words that start a
//! line. It is consulted before [`crate::suggest`], whose guesses go by letters.

/// A word of another language or library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The word there.
    pub word: &'static str,
    /// The word here, where one takes its place as it stands.
    pub here: Option<&'static str>,
    /// What to do.
    pub help: &'static str,
}

macro_rules! table {
    (@here) => { None };
    (@here $here:literal) => { Some($here) };
    ($($word:literal $(= $here:literal)? : $help:literal;)*) => {
        &[$(Elsewhere { word: $word, here: table!(@here $($here)?), help: $help },)*]
    };
}

/// Names of layers, functions, losses, optimisers and values.
const NAMES: &[Elsewhere] = table! {
    "Linear" = "linear": "write `linear(class = 10)`: the axis it gives, and its size";
    "Dense" = "linear": "write `linear(class = 10)`: the axis it gives, and its size";
    "dense" = "linear": "write `linear(class = 10)`: the axis it gives, and its size";
    "Conv2d" = "conv": "write `conv(32, kernel = 3)`";
    "Conv2D" = "conv": "write `conv(32, kernel = 3)`";
    "conv2d" = "conv": "write `conv(32, kernel = 3)`";
    "Conv1d": "there is no convolution over one axis: use `window` and `contract`";
    "BatchNorm1d" = "norm": "batch normalisation is `norm`";
    "BatchNorm2d" = "norm": "batch normalisation is `norm`";
    "BatchNormalization" = "norm": "batch normalisation is `norm`";
    "batch_norm" = "norm": "batch normalisation is `norm`";
    "LayerNorm" = "layer_norm": "write `layer_norm`";
    "LayerNormalization" = "layer_norm": "write `layer_norm`";
    "RMSNorm" = "rms_norm": "write `rms_norm`";
    "Dropout" = "dropout": "write `dropout(0.1)`";
    "MaxPool2d" = "max_pool": "write `max_pool(size = 2)`";
    "MaxPooling2D" = "max_pool": "write `max_pool(size = 2)`";
    "AvgPool2d" = "mean_pool": "write `mean_pool(size = 2)`";
    "AveragePooling2D" = "mean_pool": "write `mean_pool(size = 2)`";
    "AdaptiveAvgPool2d": "write `mean(over = [height, width])`";
    "GlobalAveragePooling2D": "write `mean(over = [height, width])`";
    "Flatten" = "flatten": "write `flatten(into = feature)`";
    "ReLU" = "relu": "write `relu`";
    "GELU" = "gelu": "write `gelu`";
    "SiLU" = "silu": "write `silu`";
    "swish" = "silu": "write `silu`";
    "Sigmoid" = "sigmoid": "write `sigmoid`";
    "Tanh" = "tanh": "write `tanh`";
    "Softmax": "write `softmax(over = class)`; `cross_entropy` takes the scores before it";
    "LogSoftmax": "leave it away: `cross_entropy` takes the scores before the softmax";
    "log_softmax": "leave it away: `cross_entropy` takes the scores before the softmax";
    "Embedding" = "embed": "write `embed(feature = 32)`, on a column of type `class`";
    "MultiheadAttention" = "attention": "write `attention(heads = 4)`";
    "MultiHeadAttention" = "attention": "write `attention(heads = 4)`";
    "LSTM": "there are no recurrent layers in this version: use `attention` over the axis";
    "GRU": "there are no recurrent layers in this version: use `attention` over the axis";
    "RNN": "there are no recurrent layers in this version: use `attention` over the axis";
    "Sequential": "no list of layers is needed: `x |> linear(hidden = 32) |> relu |> linear(class = 10)`";
    "Module": "write `model net(x: f32[batch, feature]) -> f32[batch, class = 10] { … }`";
    "CrossEntropyLoss" = "cross_entropy": "write `cross_entropy(predict, rows.label)`";
    "SparseCategoricalCrossentropy" = "cross_entropy": "write `cross_entropy(predict, rows.label)`";
    "sparse_categorical_crossentropy" = "cross_entropy": "write `cross_entropy(predict, rows.label)`";
    "categorical_crossentropy" = "cross_entropy": "write `cross_entropy(predict, rows.label)`";
    "nll_loss": "take `cross_entropy`, without a softmax before it";
    "NLLLoss": "take `cross_entropy`, without a softmax before it";
    "BCELoss" = "binary_cross_entropy": "write `binary_cross_entropy(predict, rows.label)`, without a sigmoid before it";
    "BCEWithLogitsLoss" = "binary_cross_entropy": "write `binary_cross_entropy(predict, rows.label)`";
    "binary_crossentropy" = "binary_cross_entropy": "write `binary_cross_entropy(predict, rows.label)`";
    "MSELoss" = "mse": "write `mse(predict, rows.target)`";
    "mse_loss" = "mse": "write `mse(predict, rows.target)`";
    "mean_squared_error" = "mse": "write `mse(predict, rows.target)`";
    "L1Loss" = "mae": "write `mae(predict, rows.target)`";
    "SmoothL1Loss" = "huber": "write `huber(predict, rows.target)`";
    "Adam" = "adam": "write `adam(lr = 1e-3)`";
    "AdamW" = "adamw": "write `adamw(lr = 1e-3)`";
    "SGD" = "sgd": "write `sgd(lr = 1e-1)`";
    "RMSprop" : "there is no RMSprop: `adam` divides by the same root mean square";
    "rmsprop": "there is no RMSprop: `adam` divides by the same root mean square";
    "CosineAnnealingLR" = "cosine": "write `cosine(30 epochs)`";
    "StepLR" = "step": "write `step(30 epochs, every = 10 epochs, factor = 0.1)`";
    "OneCycleLR": "write `[warmup(2 epochs), cosine(28 epochs)]`";
    "EarlyStopping": "write `patience = 10 epochs` beside `watch`";
    "read_csv" = "csv": "write `source = csv(\"data.csv\")` in a `data` section";
    "load_csv" = "csv": "write `source = csv(\"data.csv\")` in a `data` section";
    "DataLoader": "write `rows = digits.train |> shuffle |> batch(64)`";
    "train_test_split": "write `split = random(train = 80%, valid = 10%, test = 10%)` in the `data` section";
    "view": "axes have names: `split`, `merge` and `flatten` take them apart and put them together";
    "reshape": "axes have names: `split`, `merge` and `flatten` take them apart and put them together";
    "permute": "axes have names, and their order does not matter";
    "transpose": "axes have names, and their order does not matter; `rename` gives one another name";
    "unsqueeze": "axes meet by name: none of size 1 is needed";
    "squeeze": "axes meet by name: none of size 1 is there to be taken away";
    "cat" = "concat": "write `concat(other, over = feature)`";
    "matmul" = "contract": "write `contract(a, b, over = feature)`";
    "einsum" = "contract": "write `contract(a, b, over = feature)`";
    "bmm" = "contract": "write `contract(a, b, over = feature)`";
    "True" = "true": "write `true`";
    "False" = "false": "write `false`";
    "None": "there is no `None`: leave the setting away";
    "none": "leave the setting away";
    "null": "there is no `null`: leave the setting away";
    "fp32" = "f32": "numbers of 32 bits are `f32`";
    "float32" = "f32": "numbers of 32 bits are `f32`";
    "full" = "f32": "numbers of 32 bits are `f32`";
    "bfloat16" = "bf16": "numbers of 16 bits are `bf16`, which needs no scaling of the loss";
    "fp16" = "bf16": "there is no fp16: `bf16` takes as little memory, and needs no scaling of the loss";
    "f16" = "bf16": "there is no fp16: `bf16` takes as little memory, and needs no scaling of the loss";
    "float16" = "bf16": "there is no fp16: `bf16` takes as little memory, and needs no scaling of the loss";
    "half" = "bf16": "there is no fp16: `bf16` takes as little memory, and needs no scaling of the loss";
    "mixed" = "bf16": "`bf16` is mixed: parameters, sums and optimisers keep 32 bits";
    "amp" = "bf16": "`bf16` is mixed: parameters, sums and optimisers keep 32 bits";
    "mixed_bfloat16" = "bf16": "`bf16` is mixed: parameters, sums and optimisers keep 32 bits";
    "mixed_float16" = "bf16": "there is no fp16: `bf16` takes as little memory, and needs no scaling of the loss";
    "bf16_mixed" = "bf16": "`bf16` is mixed: parameters, sums and optimisers keep 32 bits";
    "bf16-mixed" = "bf16": "`bf16` is mixed: parameters, sums and optimisers keep 32 bits";
    "16-mixed" = "bf16": "there is no fp16: `bf16` takes as little memory, and needs no scaling of the loss";
    "self": "a block has no `self`: parameters belong to the calls that make them";
};

/// Names of settings. What a word means depends on where it stands: the first whose `here` is a setting there counts.
const SETTINGS: &[Elsewhere] = table! {
    "learning_rate" = "lr": "";
    "rate" = "lr": "";
    "lr" = "optimize": "the rate is the optimiser's: `optimize = adamw(lr = 1e-3)`";
    "learning_rate" = "optimize": "the rate is the optimiser's: `optimize = adamw(lr = 1e-3)`";
    "weight_decay" = "decay": "";
    "wd" = "decay": "";
    "weight_decay" = "optimize": "the decay is the optimiser's: `optimize = adamw(lr = 1e-3, decay = 1e-2)`";
    "momentum" = "optimize": "the momentum is the optimiser's: `optimize = sgd(lr = 1e-1, momentum = 0.9)`";
    "eps" = "epsilon": "";
    "beta1" = "betas": "";
    "optimizer" = "optimize": "";
    "optimiser" = "optimize": "";
    "optim" = "optimize": "";
    "epochs" = "length": "write `length = 30 epochs`";
    "num_epochs" = "length": "write `length = 30 epochs`";
    "n_epochs" = "length": "write `length = 30 epochs`";
    "max_epochs" = "length": "write `length = 30 epochs`";
    "steps" = "length": "write `length = 600 steps`";
    "max_steps" = "length": "write `length = 600 steps`";
    "iterations" = "length": "write `length = 600 steps`";
    "batch_size" = "rows": "the batch belongs to the rows: `rows = digits.train |> shuffle |> batch(64)`";
    "batch" = "rows": "the batch belongs to the rows: `rows = digits.train |> shuffle |> batch(64)`";
    "shuffle" = "rows": "the order belongs to the rows: `rows = digits.train |> shuffle |> batch(64)`";
    "dataset" = "rows": "write `rows = digits.train |> shuffle |> batch(64)`";
    "train_data" = "rows": "write `rows = digits.train |> shuffle |> batch(64)`";
    "data" = "rows": "write `rows = digits.train |> shuffle |> batch(64)`";
    "model" = "predict": "write `predict = net(rows.image)`";
    "loss_fn" = "loss": "write `loss = cross_entropy(predict, rows.label)`";
    "loss_function" = "loss": "write `loss = cross_entropy(predict, rows.label)`";
    "criterion" = "loss": "write `loss = cross_entropy(predict, rows.label)`";
    "metrics" = "watch": "while training, one is watched: `watch = accuracy(predict, rows.label, on = digits.valid)`; `evaluate` has `metrics`";
    "metric" = "watch": "while training, one is watched: `watch = accuracy(predict, rows.label, on = digits.valid)`; `evaluate` has `metrics`";
    "val" = "watch": "write `watch = accuracy(predict, rows.label, on = digits.valid)`";
    "valid" = "watch": "write `watch = accuracy(predict, rows.label, on = digits.valid)`";
    "validation" = "watch": "write `watch = accuracy(predict, rows.label, on = digits.valid)`";
    "val_data" = "watch": "write `watch = accuracy(predict, rows.label, on = digits.valid)`";
    "validation_data" = "watch": "write `watch = accuracy(predict, rows.label, on = digits.valid)`";
    "validation_split" = "watch": "rows are split in the `data` section, and watched here: `watch = accuracy(predict, rows.label, on = digits.valid)`";
    "callbacks" = "patience": "there are no callbacks: `patience` stops early, `checkpoint` says how often to save, `schedule` moves the rate";
    "early_stopping" = "patience": "write `patience = 10 epochs`";
    "scheduler" = "schedule": "";
    "lr_scheduler" = "schedule": "";
    "clip_norm" = "clip": "";
    "grad_clip" = "clip": "";
    "max_grad_norm" = "clip": "";
    "gradient_clip_val" = "clip": "";
    "amp" = "precision": "write `precision = bf16`";
    "use_amp" = "precision": "write `precision = bf16`";
    "fp16" = "precision": "write `precision = bf16`: fp16 would need a scaled loss";
    "bf16" = "precision": "write `precision = bf16`";
    "mixed_precision" = "precision": "write `precision = bf16`";
    "autocast" = "precision": "write `precision = bf16`";
    "dtype" = "precision": "write `precision = bf16`";
    "grad_scaler" = "precision": "write `precision = bf16`, which needs no scaling of the loss";
    "path" = "source": "write `source = csv(\"data.csv\")`";
    "file" = "source": "write `source = csv(\"data.csv\")`";
    "filename" = "source": "write `source = csv(\"data.csv\")`";
    "test_size" = "split": "write `split = random(train = 80%, valid = 10%, test = 10%)`";
    "validation_split" = "split": "write `split = random(train = 80%, valid = 10%, test = 10%)`";
    "sep" = "delimiter": "";
    "hash" = "blake3": "";
    "sha256" = "blake3": "the hash is BLAKE3's: `mmhc lock` writes it";
    "checksum" = "blake3": "";
    "kernel_size" = "kernel": "";
    "pool_size" = "size": "";
    "strides" = "stride": "";
    "filters" = "to": "";
    "out_channels" = "to": "";
    "channels" = "to": "";
    "rate" = "p": "";
    "prob" = "p": "";
    "drop" = "p": "";
    "dim" = "over": "";
    "axis" = "over": "";
    "axes" = "over": "";
    "num_heads" = "heads": "";
    "n_heads" = "heads": "";
    "sigma" = "std": "";
    "n_trials" = "budget": "write `budget = 64 trials`";
    "trials" = "budget": "write `budget = 64 trials`";
    "num_samples" = "budget": "write `budget = 64 trials`";
    "sampler" = "propose": "";
    "pruner" = "method": "";
    "direction" = "maximize": "write `maximize = fit.watch` or `minimize = fit.watch`";
};

/// Words that start a line elsewhere.
const LINES: &[Elsewhere] = table! {
    "import": "layers and losses are there without it; `use \"file.mmh\" { name }` takes names of a file of yours";
    "from": "layers and losses are there without it; `use \"file.mmh\" { name }` takes names of a file of yours";
    "include": "write `use \"file.mmh\" { name }`";
    "def": "write `block name(x: f32[batch, feature]) -> like x { … }`, or `model` for a whole one";
    "fn": "write `block name(x: f32[batch, feature]) -> like x { … }`, or `model` for a whole one";
    "func": "write `block name(x: f32[batch, feature]) -> like x { … }`, or `model` for a whole one";
    "function": "write `block name(x: f32[batch, feature]) -> like x { … }`, or `model` for a whole one";
    "class": "write `model net(x: f32[batch, feature]) -> f32[batch, class = 10] { … }`";
    "return": "the last line of a body is its value: write it without `return`";
    "for": "there are no loops: `repeat(3, block)` puts blocks one behind another";
    "while": "there are no loops: `repeat(3, block)` puts blocks one behind another";
    "var" = "let": "write `let name = …`";
    "const" = "let": "write `let name = …`";
    "dataset" = "data": "write `data name { … }`";
    "training" = "train": "write `train name { … }`";
    "test" = "evaluate": "write `evaluate name { … }`";
    "network" = "model": "write `model net(x: f32[batch, feature]) -> f32[batch, class = 10] { … }`";
    "layer" = "block": "write `block name(x: f32[batch, feature]) -> like x { … }`";
    "print": "a recipe computes nothing on the way: `mmhc show types` shows what flows where";
    "with": "write settings in a section: `train fit { … }`";
    "lambda": "write `block name(x: f32[batch, feature]) -> like x { … }`";
    "elif": "write `else if`";
};

/// Names of spaces.
const SPACES: &[Elsewhere] = table! {
    "whole" = "int": "write `int(1 .. 3)`";
    "integer" = "int": "write `int(1 .. 3)`";
    "randint" = "int": "write `int(1 .. 3)`: both ends can be drawn";
    "range" = "int": "write `int(1 .. 3)`: both ends can be drawn";
    "suggest_int" = "int": "write `int(1 .. 3)`";
    "boolean" = "bool": "write `bool`";
    "categorical" = "choice": "write `choice(16, 32, 64)`";
    "suggest_categorical" = "choice": "write `choice(16, 32, 64)`";
    "grid_search" = "choice": "write `choice(16, 32, 64)`, and `propose = grid` in the `search` section";
    "float" = "uniform": "write `uniform(0.0 .. 0.5)`, or `log(1e-4 .. 1e-1)`";
    "real" = "uniform": "write `uniform(0.0 .. 0.5)`, or `log(1e-4 .. 1e-1)`";
    "suggest_float" = "uniform": "write `uniform(0.0 .. 0.5)`, or `log(1e-4 .. 1e-1)`";
    "loguniform" = "log": "write `log(1e-4 .. 1e-1)`";
    "log_uniform" = "log": "write `log(1e-4 .. 1e-1)`";
    "normal": "write the range that matters: `uniform(0.0 .. 0.5)`, or `log(1e-4 .. 1e-1)`";
};

/// Names of units.
const UNITS: &[Elsewhere] = table! {
    "KB" = "KiB": "";
    "kB" = "KiB": "";
    "kb" = "KiB": "";
    "MB" = "MiB": "";
    "mb" = "MiB": "";
    "GB" = "GiB": "";
    "gb" = "GiB": "";
    "bytes" = "B": "";
    "sec" = "s": "";
    "seconds" = "s": "";
    "minutes" = "min": "";
    "hours" = "h": "";
    "iterations" = "steps": "";
    "batches" = "steps": "";
    "percent" = "%": "";
};

fn find(table: &'static [Elsewhere], word: &str) -> Option<&'static Elsewhere> {
    table.iter().find(|entry| entry.word == word)
}

/// What a name means here.
pub fn name_elsewhere(word: &str) -> Option<&'static Elsewhere> {
    find(NAMES, word)
}

/// What a setting means where there are those of `known`.
pub fn setting_elsewhere(word: &str, known: &[&str]) -> Option<&'static Elsewhere> {
    let here = |entry: &&Elsewhere| entry.here.is_some_and(|here| known.contains(&here));
    SETTINGS
        .iter()
        .filter(|entry| entry.word == word)
        .find(here)
}

/// What the first word of a line means here.
pub fn line_elsewhere(word: &str) -> Option<&'static Elsewhere> {
    find(LINES, word)
}

/// What a space to draw from is called here.
pub fn space_elsewhere(word: &str) -> Option<&'static Elsewhere> {
    find(SPACES, word)
}

/// What a unit is called here.
pub fn unit_elsewhere(word: &str) -> Option<&'static str> {
    find(UNITS, word).and_then(|entry| entry.here)
}

/// The words that some entry of the tables puts in the place of others, with those others: for tests of what is offered.
pub fn all_elsewhere() -> impl Iterator<Item = (&'static str, &'static Elsewhere)> {
    let tables = [
        ("name", NAMES),
        ("setting", SETTINGS),
        ("line", LINES),
        ("space", SPACES),
        ("unit", UNITS),
    ];
    tables
        .into_iter()
        .flat_map(|(kind, table)| table.iter().map(move |entry| (kind, entry)))
}
