//! Two toy encoders on the STS data sets, and whether their difference means anything.
//!
//! Usage: `cargo run --release --example bag_of_words -- path/to/downstream`

use std::collections::hash_map::DefaultHasher;
use std::convert::Infallible;
use std::error::Error;
use std::hash::{Hash, Hasher};

use ndarray::Array2;
use sts_eval::format::{Format, Table};
use sts_eval::{Bootstrap, Convention, DEFAULT_BLOCK_SIZE, Report, SentEval, evaluate};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("give the folder that SentEval calls downstream")?;
    let data = SentEval::open(folder)?;
    let tasks = data.tasks(Convention::MirrorBert)?;

    let words = evaluate(&tasks, &encode_words, DEFAULT_BLOCK_SIZE, |_| ())?;
    let trigrams = evaluate(&tasks, &encode_trigrams, DEFAULT_BLOCK_SIZE, |_| ())?;
    let reports = [("words", &words), ("letter trigrams", &trigrams)]
        .map(|(model, scored)| Report::new(model, Convention::MirrorBert, scored, &data.missing()));
    Table.write(&reports, &mut std::io::stdout())?;

    if let Some(difference) = Bootstrap::default().average_difference(&words, &trigrams)? {
        let interval = difference.interval;
        println!(
            "letter trigrams - words: {:+.2} points, 95 % interval {:+.2} to {:+.2}, p = {:.4}",
            interval.estimate, interval.low, interval.high, difference.p_value
        );
    }
    Ok(())
}

fn encode_words(sentences: &[&str]) -> Result<Array2<f32>, Infallible> {
    Ok(count(sentences, |sentence| sentence.split_whitespace().map(str::to_lowercase).collect()))
}

fn encode_trigrams(sentences: &[&str]) -> Result<Array2<f32>, Infallible> {
    Ok(count(sentences, |sentence| {
        let letters: Vec<char> = format!(" {} ", sentence.to_lowercase()).chars().collect();
        letters.windows(3).map(|window| window.iter().collect()).collect()
    }))
}

/// Counts features at hashed positions, [sentences, 1024].
fn count(sentences: &[&str], features: impl Fn(&str) -> Vec<String>) -> Array2<f32> {
    let mut counts = Array2::zeros((sentences.len(), 1024));
    for (row, sentence) in sentences.iter().enumerate() {
        for feature in features(sentence) {
            let mut hasher = DefaultHasher::new();
            feature.hash(&mut hasher);
            counts[[row, (hasher.finish() % 1024) as usize]] += 1.0;
        }
    }
    counts
}
