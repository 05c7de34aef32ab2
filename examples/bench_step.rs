//! Times one forward and backward of a MiniLM-shaped encoder against the matrix products in it.

use mirror::encoder::layout::{Dimensions, Layout};
use mirror::encoder::packed_batch::{PackedBatch, Pass, SequenceId};
use mirror::ops::{Activation, EncoderShape, Pooling, adamw, embed, embed_tracked, normals, vectors};
use mirror::random::Key;
use std::time::Instant;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let shape = EncoderShape {
        hidden: 384,
        heads: 12,
        intermediate: 1536,
        layers: 6,
        activation: Activation::Gelu,
        layer_norm_eps: 1e-12,
        vocab_size: 30_522,
        max_position_embeddings: 512,
        type_vocab_size: 2,
    };
    let layout = Layout::new(&Dimensions {
        vocab_size: shape.vocab_size,
        max_position_embeddings: shape.max_position_embeddings,
        type_vocab_size: shape.type_vocab_size,
        hidden_size: shape.hidden,
        intermediate_size: shape.intermediate,
        num_hidden_layers: shape.layers,
    });
    let key = Key::new(1);
    let mut weights: Vec<Vec<f32>> = Vec::new();
    for (g, group) in layout.groups.iter().enumerate() {
        let mut flat = vec![0f32; group.len];
        normals::fill(key.at(g as u64), &mut flat);
        vectors::scale(&mut flat, 0.05);
        weights.push(flat);
    }
    let equal = vec![32; 32];
    // Lengths 4 … 43 with a mean of 14.4, as the 10k corpus has.
    let spread: Vec<usize> = (0..400).map(|i| 4 + (key.at(i).unit(0).powf(2.85) * 40.0) as usize).collect();
    run("B32 S32", &shape, &layout, &weights, &equal);
    run("400 sequences", &shape, &layout, &weights, &spread);
    time_vectors(&layout);
}

fn best_of(n: usize, mut f: impl FnMut()) -> f64 {
    (0..n)
        .map(|_| {
            let t = Instant::now();
            f();
            t.elapsed().as_secs_f64()
        })
        .fold(f64::MAX, f64::min)
}

fn run(name: &str, shape: &EncoderShape, layout: &Layout, weights: &[Vec<f32>], lens: &[usize]) {
    let mut batch = PackedBatch::new();
    for (i, &len) in lens.iter().enumerate() {
        let tokens: Vec<u32> =
            (0..len).map(|t| Key::new(2).at(i as u64).at(t as u64).below(30_522) as u32).collect();
        batch.push(&tokens, 0, SequenceId { view: 0, sentence: i as u32 });
    }
    let weights: Vec<&[f32]> = weights.iter().map(|w| &w[..]).collect();
    let pass = Pass { key: Key::new(3), hidden_dropout: 0.1, attention_dropout: 0.1, drophead: 0.0 };
    let mut gradients: Vec<Vec<f32>> = layout.groups.iter().map(|g| vec![0.0; g.len]).collect();
    let embedding_gradients = vec![0.01f32; batch.len() * shape.hidden];
    let repeats = if batch.total_tokens() > 3000 { 3 } else { 8 };
    let (mut forward, mut both) = (f64::MAX, f64::MAX);
    let mut slices: Vec<&mut [f32]> = gradients.iter_mut().map(|g| &mut g[..]).collect();
    for _ in 0..repeats {
        let start = Instant::now();
        let (_, tape) = embed_tracked(shape, &weights, &batch, None, &pass, Pooling::Mean);
        forward = forward.min(start.elapsed().as_secs_f64());
        tape.backward(&weights, &embedding_gradients, &mut slices);
        both = both.min(start.elapsed().as_secs_f64());
    }
    let inference = best_of(repeats, || {
        embed(shape, &weights, &batch, None, &Pass::inference(), Pooling::Mean);
    });
    let (h, i) = (shape.hidden, shape.intermediate);
    let flops = (2 * batch.total_tokens() * (4 * h * h + 2 * h * i) * shape.layers) as f64;
    let floor = flops / gemm_rate(batch.total_tokens().min(2048), h, i);
    println!(
        "{name}: {} tokens; forward {:.1} ms, forward + backward {:.1} ms ({:.0} GFLOP/s), inference {:.1} ms; \
         products alone: {:.1} and {:.1} ms",
        batch.total_tokens(),
        forward * 1e3,
        both * 1e3,
        3.0 * flops / both / 1e9,
        inference * 1e3,
        floor * 1e3,
        3.0 * floor * 1e3,
    );
}

/// FLOP/s of the gemm crate on all threads, over the products of a feed-forward block.
fn gemm_rate(m: usize, h: usize, i: usize) -> f64 {
    let (a, b) = (vec![0.5f32; m * h], vec![0.5f32; i * h]);
    let mut c = vec![0f32; m * i];
    let seconds = best_of(8, || {
        // SAFETY: the three matrices hold what their shapes say.
        unsafe {
            gemm::gemm(
                m,
                i,
                h,
                c.as_mut_ptr(),
                1,
                i as isize,
                false,
                a.as_ptr(),
                1,
                h as isize,
                b.as_ptr(),
                h as isize,
                1,
                1.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::Rayon(0),
            );
        }
    });
    (2 * m * h * i) as f64 / seconds
}

fn time_vectors(layout: &Layout) {
    let n = layout.len();
    let (mut p, mut m, mut v, mut g) = (vec![0.1f32; n], vec![0f32; n], vec![0f32; n], vec![0f32; n]);
    let fill = best_of(5, || normals::fill(Key::new(4), &mut g));
    let options = adamw::AdamW { lr: 2e-5, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.01 };
    let step = best_of(5, || adamw::step(&options, 1, &mut p, &g, &mut m, &mut v));
    let norm = best_of(5, || {
        std::hint::black_box(vectors::sum_of_squares(&g));
    });
    let add = best_of(5, || vectors::add_scaled(&p, 0.5, &g, &mut m));
    println!(
        "{n} values: normals {:.1} ms, AdamW {:.1} ms, norm {:.1} ms, sum {:.1} ms",
        fill * 1e3,
        step * 1e3,
        norm * 1e3,
        add * 1e3
    );
}
