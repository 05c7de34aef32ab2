//! Arithmetic on flat buffers of f32.

use candle_core::{Result, Tensor};

use super::Cuda;
use super::device::{Gpu, Grid, arguments, pointer};
use crate::backend::{AdamWConfig, Arithmetic, Update};
use crate::random::Key;

/// Blocks of a sum, whatever the card: its order is part of the result.
const SUM_BLOCKS: usize = 256;

impl Arithmetic for Cuda {
    fn sum_of_squares(&self, groups: &[Tensor]) -> Result<f64> {
        let Some(first) = groups.first() else { return Ok(0.0) };
        let gpu = Gpu::of(first.device())?;
        // All blocks' sums come back together: one wait, however many groups there are.
        let partial = gpu.buffer::<f64>(groups.len() * SUM_BLOCKS)?;
        for (group, x) in groups.iter().enumerate() {
            let into = partial.pointer().at(group * SUM_BLOCKS);
            let arguments = arguments![pointer::<f32>(x)?, into, x.elem_count() as u64];
            gpu.launch_plain("sum_of_squares", Grid::of(SUM_BLOCKS), &arguments)?;
        }
        Ok(gpu.download(&partial)?.iter().sum())
    }

    fn plus(&self, a: &Tensor, scale: f64, b: &Tensor) -> Result<Tensor> {
        let gpu = Gpu::of(a.device())?;
        let sum = gpu.buffer::<f32>(a.elem_count())?;
        let arguments = arguments![
            pointer::<f32>(a)?,
            scale as f32,
            pointer::<f32>(b)?,
            sum.pointer(),
            a.elem_count() as u64
        ];
        gpu.launch_plain("plus", Grid::over(a.elem_count()), &arguments)?;
        Ok(gpu.tensor(sum, a.shape()))
    }

    fn add(&self, a: &mut Tensor, scale: f64, b: &Tensor) -> Result<()> {
        let gpu = Gpu::of(a.device())?;
        let (at, len) = (pointer::<f32>(a)?, a.elem_count());
        let arguments = arguments![at, scale as f32, pointer::<f32>(b)?, at, len as u64];
        gpu.launch_plain("plus", Grid::over(len), &arguments)
    }

    fn perturb(&self, direction: &mut Tensor, scale: f64, weights: &Tensor) -> Result<()> {
        let gpu = Gpu::of(weights.device())?;
        let (at, len) = (pointer::<f32>(direction)?, weights.elem_count());
        let arguments = arguments![at, scale as f32, pointer::<f32>(weights)?, len as u64];
        gpu.launch_plain("perturb", Grid::over(len), &arguments)
    }

    fn normals(&self, key: Key, like: &Tensor) -> Result<Tensor> {
        let gpu = Gpu::of(like.device())?;
        let values = gpu.buffer::<f32>(like.elem_count())?;
        let arguments = arguments![values.pointer(), key.value(), like.elem_count() as u64];
        gpu.launch_plain("normals", Grid::over(like.elem_count()), &arguments)?;
        Ok(gpu.tensor(values, like.shape()))
    }

    fn adamw(&self, c: &AdamWConfig, step: u64, group: Update) -> Result<()> {
        let Update { weights, gradient, m, v } = group;
        let (gpu, len) = (Gpu::of(weights.device())?, weights.elem_count());
        let bias1 = 1.0 - c.beta1.powf(step as f64);
        let bias2_sqrt = (1.0 - c.beta2.powf(step as f64)).sqrt();
        let buffers = arguments![
            pointer::<f32>(weights)?,
            pointer::<f32>(gradient)?,
            pointer::<f32>(m)?,
            pointer::<f32>(v)?,
            len as u64,
        ];
        let numbers = [
            c.beta1,
            1.0 - c.beta1,
            c.beta2,
            1.0 - c.beta2,
            1.0 / bias2_sqrt,
            c.eps,
            1.0 - c.learning_rate * c.weight_decay,
            c.learning_rate / bias1,
        ];
        let numbers = numbers.map(|x| super::device::Argument::F32(x as f32));
        gpu.launch_plain("adamw", Grid::over(len), &[&buffers[..], &numbers[..]].concat())
    }
}
