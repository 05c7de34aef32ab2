//! What all operations of a pass share.

use candle_core::Result;

use super::batch::{DeviceBatch, Queries, dropout};
use super::device::{Argument, Element, Gpu, Pointer, arguments};
use super::products::{Factor, Into};
use crate::backend::shape::EncoderShape;
use crate::batch::Pass;
use crate::random::Site;

/// Rows whose sums a block of the way back makes.
pub const STRIPE: usize = 32;

/// One pass over one batch on one device.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub gpu: &'a Gpu,
    pub shape: &'a EncoderShape,
    pub batch: &'a DeviceBatch,
    pub pass: &'a Pass,
}

impl Context<'_> {
    pub fn hidden(&self) -> u32 {
        self.shape.hidden as u32
    }

    /// The rows' sequences and tokens, and the sequences' keys.
    pub fn rows(&self, queries: &Queries) -> [Argument; 3] {
        arguments![queries.row_sequence, queries.row_token, self.batch.keys()]
    }

    /// Layer, site, and dropout of hidden states.
    pub fn dropout_at(&self, layer: usize, site: Site) -> [Argument; 4] {
        let (threshold, scale) = dropout(self.pass.hidden_dropout);
        arguments![layer as u32, site as u32, threshold, scale]
    }

    /// y = x · Wᵀ + bias, with x `[rows, inputs]` and W `[outputs, inputs]`.
    pub fn linear<T: Element>(
        &self,
        x: Pointer<T>,
        (rows, inputs, outputs): (usize, usize, usize),
        weight: Pointer<T>,
        bias: Pointer<T>,
        y: Pointer<T>,
    ) -> Result<()> {
        let (x, weight) = (Factor::new(x, inputs), Factor::new(weight, inputs).t());
        self.gpu.products.multiply((rows, outputs, inputs), x, weight, Some(bias), y, Into::Place)
    }

    /// The gradient of x from that of y `[rows, outputs]`.
    pub fn through<T: Element>(
        &self,
        gradient: Pointer<T>,
        (rows, inputs, outputs): (usize, usize, usize),
        weight: Pointer<T>,
        into: Into,
        result: Pointer<T>,
    ) -> Result<()> {
        let (gradient, weight) = (Factor::new(gradient, outputs), Factor::new(weight, inputs));
        self.gpu.products.multiply((rows, inputs, outputs), gradient, weight, None, result, into)
    }

    /// Adds that of W, gradientᵀ · x, in f32.
    pub fn weight_gradient<T: Element>(
        &self,
        gradient: Pointer<T>,
        (rows, inputs, outputs): (usize, usize, usize),
        x: Pointer<T>,
        sum: Pointer<f32>,
    ) -> Result<()> {
        let (gradient, x) = (Factor::new(gradient, outputs).t(), Factor::new(x, inputs));
        self.gpu.products.multiply((outputs, inputs, rows), gradient, x, None, sum, Into::Sum)
    }
}
