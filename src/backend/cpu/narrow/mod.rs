//! Products of narrow numbers: bf16 summed in f32, and int8 summed in i32.
//!
//! Both kinds of number are multiplied by instructions that take four bytes of each operand at a time (a pair of bf16
//! values or four of int8) and add their products to one sum, so both share a layout: a [left operand](operand::Left) has
//! its rows one after another, [panels](operand::Panels) have one group of [`PANEL`](operand::PANEL) columns after another,
//! and both count their depth in words of four bytes. [`product`] goes through blocks of them with the best kernel that the
//! machine has: AMX's tiles, AVX-512's dot products, or plain operations that compute the same.
//!
//! As in `matmul`, a row of a product is summed in an order that depends on the depth alone.

pub(crate) mod bf16;
mod bf16_pack;
pub(crate) mod instructions;
pub(crate) mod int8;
mod kernel;
mod operand;
mod product;

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(test)]
mod tests;
