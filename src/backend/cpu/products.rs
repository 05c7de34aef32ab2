//! What a layer multiplies with: the one thing in which the precisions of this backend differ.
//!
//! Weights are prepared once for all chunks, activations as they are multiplied. f32 ([`F32`]) prepares nothing; bf16
//! and int8 are in [`narrow`](super::narrow).

use super::buffers::Buffer;
use super::matmul::{Init, MAX_ROWS, Matrix, matmul, shared_matmul};
use super::shape::LayerWeights;
use std::ops::{Deref, Range};

/// Something for each of a layer's linear maps.
#[derive(Clone, Copy)]
pub(crate) struct Linears<T> {
    pub query: T,
    pub key_value: T,
    pub attention_output: T,
    pub intermediate: T,
    pub output: T,
}

impl<T> Linears<T> {
    /// Of each weight `[out, in]`, given with its number of inputs.
    pub fn of<'a>(w: &LayerWeights<'a>, f: impl Fn(&'a [f32], usize) -> T) -> Self {
        let of = |weight: &'a [f32], bias: &[f32]| f(weight, weight.len() / bias.len());
        Linears {
            query: of(w.query, w.query_bias),
            key_value: of(w.key_value, w.key_value_bias),
            attention_output: of(w.attention_output, w.attention_output_bias),
            intermediate: of(w.intermediate, w.intermediate_bias),
            output: of(w.output, w.output_bias),
        }
    }

    /// A reference to each.
    pub fn each(&self) -> Linears<&T> {
        Linears {
            query: &self.query,
            key_value: &self.key_value,
            attention_output: &self.attention_output,
            intermediate: &self.intermediate,
            output: &self.output,
        }
    }
}

/// Products on the way forward.
pub(crate) trait Forward: Sync {
    /// A weight, as products take it.
    type Weight<'a>: Copy
    where
        Self: 'a;
    /// Activations, as products take them.
    type Rows<'a>;

    /// The weights of layer `layer`, which in f32 are `w`.
    fn layer<'a>(&'a self, layer: usize, w: &LayerWeights<'a>) -> Linears<Self::Weight<'a>>;

    /// `x` `[rows, columns]`, to be multiplied by one or more weights.
    fn rows<'a>(&self, x: &'a [f32], columns: usize) -> Self::Rows<'a>;

    /// `y = x · Wᵀ + b` by up to `threads` threads. `y` is `[rows, out]`, and `b` `[out]`.
    fn linear(
        &self,
        threads: usize,
        x: &Self::Rows<'_>,
        weight: Self::Weight<'_>,
        bias: &[f32],
        y: &mut [f32],
    );
}

/// Activations kept for the way back, as they were or rounded.
pub(crate) trait Stored: From<Buffer> + Send + Sync {
    fn values(&self) -> Values<'_>;
}

impl Stored for Buffer {
    fn values(&self) -> Values<'_> {
        Values::Of(self)
    }
}

/// Products on the way back.
pub(crate) trait Backward: Sync + 'static {
    /// How a forward pass keeps what the way back takes rounded anyway.
    type Stored: Stored;
    /// Rows at whose multiples a block of a weight's gradient may start.
    const TILE_ROWS: usize;
    /// A weight, as products take it.
    type Weight<'a>: Copy
    where
        Self: 'a;
    /// Gradients of a linear map's output, to be multiplied by its weight.
    type Rows<'a>;
    /// The same, to be multiplied by the map's input.
    type Left: Send + Sync;
    /// A map's input, to be multiplied by gradients of its output.
    type Right<'a>: Send + Sync;

    /// As [`Forward::layer`].
    fn layer<'a>(&'a self, layer: usize, w: &LayerWeights<'a>) -> Linears<Self::Weight<'a>>;

    /// As [`Forward::rows`].
    fn rows<'a>(&self, gradient: &'a [f32], columns: usize) -> Self::Rows<'a>;

    /// `into = init + gradient · W` by up to `threads` threads. `into` is `[rows, in]`.
    fn through(
        &self,
        threads: usize,
        gradient: &Self::Rows<'_>,
        weight: Self::Weight<'_>,
        init: Init,
        into: &mut [f32],
    );

    /// Takes a gradient `[rows, columns]` of a map's output.
    fn left(&self, gradient: Buffer, columns: usize) -> Self::Left;

    /// Takes a map's input `[rows, columns]`.
    fn right<'a>(&self, input: Values<'a>, columns: usize) -> Self::Right<'a>;

    /// Adds gradientᵀ · input, that of the map's weight, for some of its rows (of `left`) and columns (of `right`): `into` has its first value,
    /// and `stride` values from row to row. Rows start at a multiple of [`Self::TILE_ROWS`], columns at one of
    /// [`TILE_COLUMNS`].
    fn add_weight_gradient(
        &self,
        left: (&Self::Left, Range<usize>),
        right: (&Self::Right<'_>, Range<usize>),
        into: &mut [f32],
        stride: usize,
    );
}

/// Columns at whose multiples a block of a weight's gradient may start.
pub(crate) const TILE_COLUMNS: usize = 32;

/// Values in a buffer of one's own or of another's.
pub(crate) enum Values<'a> {
    Own(Buffer),
    Of(&'a [f32]),
}

impl Deref for Values<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Values::Own(buffer) => buffer,
            Values::Of(values) => values,
        }
    }
}

/// f32, from the weights where they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct F32;

/// `[rows, columns]` of f32.
pub(crate) struct Rows<V> {
    values: V,
    columns: usize,
}

impl<V: Deref<Target = [f32]>> Rows<V> {
    fn matrix(&self) -> Matrix<'_> {
        Matrix::new(&self.values, self.values.len() / self.columns, self.columns)
    }
}

impl Forward for F32 {
    type Weight<'a> = &'a [f32];
    type Rows<'a> = Rows<&'a [f32]>;

    fn layer<'a>(&'a self, _: usize, w: &LayerWeights<'a>) -> Linears<&'a [f32]> {
        Linears::of(w, |weight, _| weight)
    }

    fn rows<'a>(&self, values: &'a [f32], columns: usize) -> Rows<&'a [f32]> {
        Rows { values, columns }
    }

    fn linear(&self, threads: usize, x: &Rows<&[f32]>, weight: &[f32], bias: &[f32], y: &mut [f32]) {
        let w = Matrix::new(weight, bias.len(), x.columns);
        shared_matmul(threads, y, Init::Row(bias), x.matrix(), w.t());
    }
}

impl Backward for F32 {
    type Stored = Buffer;
    const TILE_ROWS: usize = MAX_ROWS;
    type Weight<'a> = &'a [f32];
    type Rows<'a> = Rows<&'a [f32]>;
    type Left = Rows<Buffer>;
    type Right<'a> = Rows<Values<'a>>;

    fn layer<'a>(&'a self, _: usize, w: &LayerWeights<'a>) -> Linears<&'a [f32]> {
        Linears::of(w, |weight, _| weight)
    }

    fn rows<'a>(&self, values: &'a [f32], columns: usize) -> Rows<&'a [f32]> {
        Rows { values, columns }
    }

    fn through(&self, threads: usize, gradient: &Rows<&[f32]>, weight: &[f32], init: Init, into: &mut [f32]) {
        let w = Matrix::new(weight, gradient.columns, weight.len() / gradient.columns);
        shared_matmul(threads, into, init, gradient.matrix(), w);
    }

    fn left(&self, values: Buffer, columns: usize) -> Rows<Buffer> {
        Rows { values, columns }
    }

    fn right<'a>(&self, values: Values<'a>, columns: usize) -> Rows<Values<'a>> {
        Rows { values, columns }
    }

    fn add_weight_gradient(
        &self,
        (left, rows): (&Rows<Buffer>, Range<usize>),
        (right, columns): (&Rows<Values<'_>>, Range<usize>),
        into: &mut [f32],
        stride: usize,
    ) {
        let (dy, x) = (left.matrix().t().row_range(rows), right.matrix().column_range(columns));
        matmul(into, stride, Init::Keep, dy, x);
    }
}
