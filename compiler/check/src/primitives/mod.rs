//! The closed table of primitive calls. All else of the standard library is written in the language over these.

mod columns;
mod layers;
mod loss;
pub(crate) use loss::class_axis;
mod pointwise;
mod random;
mod rows;
mod shape;
mod window;

use crate::call::Bound;
use crate::core::Cx;
use crate::value::{Eval, Value};
use std::collections::BTreeMap;
use std::sync::LazyLock;

type Run = for<'p, 's, 'b> fn(&mut Cx<'p>, &'b Bound<'p, 's>) -> Eval<Value>;

/// One primitive.
pub(crate) struct Primitive {
    pub(crate) name: &'static str,
    /// Settings in the order of places; the first is what flows in.
    pub(crate) params: &'static [&'static str],
    /// Whether other named arguments are names of axes or columns.
    pub(crate) extra: bool,
    /// Whether it makes parameters or draws, and so has a path.
    pub(crate) makes: bool,
    /// For hover and documentation.
    pub(crate) signature: &'static str,
    /// One sentence.
    pub(crate) doc: &'static str,
    pub(crate) run: Run,
}

impl Primitive {
    /// Whether what it gives has the shape of what flows in.
    pub(crate) fn keeps(&self) -> bool {
        let first = self.params.first().copied().unwrap_or("");
        let result = self.signature.rsplit_once("-> like ");
        result.is_some_and(|(_, like)| like == first)
    }
}

macro_rules! table {
    ($($name:literal [$($param:literal),*] $(+ $flag:ident)* : $signature:literal $doc:literal => $run:path;)*) => {
        /// Every primitive.
        pub(crate) static TABLE: &[Primitive] = &[$({
            #[allow(unused_mut, reason = "most rows have no flag")]
            let mut primitive = Primitive {
                name: $name,
                params: &[$($param),*],
                extra: false,
                makes: false,
                signature: $signature,
                doc: $doc,
                run: $run,
            };
            $(primitive.$flag = true;)*
            primitive
        }),*];
    };
}

table! {
    "relu" ["x"]: "relu(x: f32[...]) -> like x" "max(0, x)." => pointwise::relu;
    "gelu" ["x"]: "gelu(x: f32[...]) -> like x" "x · ½ · erfc(−x / √2) (Hendrycks & Gimpel 2016)." => pointwise::gelu;
    "tanh" ["x"]: "tanh(x: f32[...]) -> like x" "Hyperbolic tangent." => pointwise::tanh;
    "sigmoid" ["x"]: "sigmoid(x: f32[...]) -> like x" "1 / (1 + exp(−x))." => pointwise::sigmoid;
    "exp" ["x"]: "exp(x: f32[...]) -> like x" "e to the x." => pointwise::exp;
    "log" ["x"]: "log(x: f32[...]) -> like x" "Natural logarithm." => pointwise::log;
    "sqrt" ["x"]: "sqrt(x: f32[...]) -> like x" "Square root, as IEEE 754 rounds it." => pointwise::sqrt;
    "rsqrt" ["x"]: "rsqrt(x: f32[...]) -> like x" "1 / √x." => pointwise::rsqrt;
    "abs" ["x"]: "abs(x: f32[...]) -> like x" "Magnitude." => pointwise::abs;
    "sin" ["x"]: "sin(x: f32[...]) -> like x" "Sine of x in radians." => pointwise::sin;
    "cos" ["x"]: "cos(x: f32[...]) -> like x" "Cosine of x in radians." => pointwise::cos;
    "erf" ["x"]: "erf(x: f32[...]) -> like x" "Error function." => pointwise::erf;
    "erfc" ["x"]: "erfc(x: f32[...]) -> like x" "Complementary error function." => pointwise::erfc;
    "floor" ["x"]: "floor(x: f32[...]) -> like x" "Largest whole number not above x." => pointwise::floor;
    "float" ["x"]: "float(x: i32[...]) -> f32" "To f32, rounded to nearest even." => pointwise::float;
    "whole" ["x"]: "whole(x: f32[...]) -> i32" "To i32, towards zero." => pointwise::whole;
    "maximum" ["a", "b"]: "maximum(a, b) -> f32" "The larger of two, element by element." => pointwise::maximum;
    "minimum" ["a", "b"]: "minimum(a, b) -> f32" "The smaller of two, element by element." => pointwise::minimum;
    "pow" ["x", "exponent"]: "pow(x, exponent) -> f32" "x to a power." => pointwise::pow;
    "fma" ["a", "b", "c"]: "fma(a, b, c) -> f32" "a·b + c, rounded once." => pointwise::fma;
    "where" ["x", "condition", "else"]: "where(x, condition: bool[...], else) -> like x" "x where the condition holds, else the other." => pointwise::select;
    "stop_gradient" ["x"]: "stop_gradient(x) -> like x" "x, through which no gradient flows." => pointwise::stop_gradient;
    "sum" ["x", "over"]: "sum(x, over = axes)" "Sum over axes." => pointwise::sum;
    "mean" ["x", "over"]: "mean(x, over = axes)" "Sum over axes divided by their count." => pointwise::mean;
    "max" ["x", "over"]: "max(x, over = axes)" "Largest along axes, the first of equals." => pointwise::max;
    "min" ["x", "over"]: "min(x, over = axes)" "Smallest along axes, the first of equals." => pointwise::min;
    "variance" ["x", "over"]: "variance(x, over = axes)" "Mean of squared differences from the mean, in two passes." => pointwise::variance;
    "argmax" ["x", "over"]: "argmax(x, over = axis) -> i32" "Place of the largest, the first of equals." => pointwise::argmax;
    "rename" ["x"] + extra: "rename(x, old = new)" "The same value with an axis called otherwise." => shape::rename;
    "split" ["x", "axis", "shape"] + extra: "split(x, axis, shape = [outer = size], inner = size)" "One axis taken apart, outermost first." => shape::split;
    "merge" ["x", "axes", "into"]: "merge(x, axes, into = axis)" "Axes flattened into one, outermost first." => shape::merge;
    "flatten" ["x", "into"]: "flatten(x, into = feature)" "All axes but `batch` as one." => shape::flatten;
    "slice" ["x"] + extra: "slice(x, axis = from .. to)" "A stretch of an axis, the end left out." => shape::slice;
    "concat" ["a", "b", "over"]: "concat(a, b, over = axis)" "Two values one behind the other along an axis." => shape::concat;
    "one_hot" ["x"] + extra: "one_hot(x, class = n) -> f32" "1 at the place of the class number, 0 elsewhere." => shape::one_hot;
    "position" ["axis", "of", "size"]: "position(axis, of = x) -> i32[axis]" "0, 1, … along an axis." => shape::position;
    "window" ["x", "axis", "size", "tap", "stride", "padding", "fill"]: "window(x, axis, size = k, tap = name, stride = 1, padding = \"same\")" "Windows of an axis, their inside along `tap`." => window::window;
    "contract" ["a", "b", "over"]: "contract(a, b, over = axes)" "Multiplies by name and sums over axes: one strict chain for each element." => window::contract;
    "gather" ["index", "table", "over"]: "gather(index: i32[...], table, over = axis)" "The table's entries at an index." => window::gather;
    "sample" ["image", "row", "column"]: "sample(image, row, column)" "Bilinear samples of height and width at the places given; outside is 0." => window::sample;
    "param" ["shape", "init", "fan"] + extra + makes: "param(shape = [axis], other = size, init = zeros)" "A parameter of this path." => layers::param;
    "linear" ["x", "from", "bias", "init", "shape"] + extra + makes: "linear(x, to = size, from = axes, shape = [axis = size])" "Contracts `from` with a weight and adds a bias." => layers::linear;
    "conv" ["x", "to", "kernel", "stride", "padding", "bias", "init"] + makes: "conv(x: f32[batch, channel, height, width], to: int, kernel = 3, stride = 1)" "Two-dimensional convolution (LeCun et al. 1989)." => layers::conv;
    "norm" ["x", "along", "momentum", "epsilon"] + makes: "norm(x, along = channel, momentum = 0.1, epsilon = 1e-5) -> like x" "Batch normalisation (Ioffe & Szegedy 2015)." => layers::norm;
    "dropout" ["x", "p"] + makes: "dropout(x, p = 0.1) -> like x" "In training, zero with probability p and scaled to match (Srivastava et al. 2014)." => layers::dropout;
    "embed" ["x", "init", "shape"] + extra + makes: "embed(x: class[n, ...], feature = size, shape = [axis = size])" "A learned vector for every class." => layers::embed;
    "softmax" ["x", "over"]: "softmax(x, over = axis) -> like x" "exp(x − max) / sum." => loss::softmax;
    "log_sum_exp" ["x", "over"]: "log_sum_exp(x, over = axis)" "max + log(sum(exp(x − max)))." => loss::log_sum_exp;
    "cross_entropy" ["x", "label"]: "cross_entropy(x: f32[..., class], label: class[n, ...]) -> f32" "Mean of −log softmax(x) at the label." => loss::cross_entropy;
    "mse" ["x", "target"]: "mse(x, target) -> f32" "Mean of squared differences." => loss::mse;
    "mae" ["x", "target"]: "mae(x, target) -> f32" "Mean of absolute differences." => loss::mae;
    "attend" ["q", "k", "v", "over", "key", "scale", "causal"]: "attend(q, k, v, over = depth, key = key, scale = 1, causal = time)" "Softmax-weighted values (Vaswani et al. 2017)." => loss::attend;
    "random" ["range", "like"] + makes: "random(lo .. hi) -> f32" "Uniform in [lo, hi): one draw a row, or one an element of `like`, a value or a shape." => random::random;
    "normal" ["like", "std"] + makes: "normal(like = x, std = 1) -> like x" "Standard normal draws times `std`, in the shape of a value or of `[axis = size]`." => random::normal;
    "repeat" ["x", "n", "block"] + makes: "repeat(x, n: int, block) -> like x" "The block n times, with parameters of its own each time." => rows::repeat;
    "map" ["rows"] + extra: "map(rows, column = block)" "A column changed by a block, row by row." => rows::map;
    "shuffle" ["rows"]: "shuffle(rows)" "In an order drawn anew each epoch." => rows::shuffle;
    "batch" ["rows", "size"]: "batch(rows, size: int)" "Rows of one step; adds the axis `batch`." => rows::batch;
    "standardise" ["x"]: "standardise(source.column) -> f32" "(x − mean) / deviation, both of the training rows." => columns::standardise;
    "impute" ["x", "with"]: "impute(source.column, with = mean)" "Missing values replaced by the mean, median or mode of the training rows." => columns::impute;
    "optional" ["x"]: "optional(source.column) -> class" "Missing values as one more class, the last." => columns::optional;
    "scan" ["x", "along", "start", "step"]: "scan(x, along = axis, start, step)" "A block carried along an axis." => rows::scan;
    "mixup" ["rows", "alpha"]: "mixup(rows, alpha)" "Convex mixes of rows (Zhang et al. 2018)." => rows::mixup;
    "fold" ["rows", "k", "of"]: "fold(rows, k, of)" "One of k folds." => rows::fold;
}

/// The number of the primitive called `name`.
pub(crate) fn find(name: &str) -> Option<usize> {
    static NUMBERS: LazyLock<BTreeMap<&str, usize>> = LazyLock::new(|| names().zip(0..).collect());
    NUMBERS.get(name).copied()
}

/// The names of all primitives.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|p| p.name)
}
