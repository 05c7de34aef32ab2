//! Holds exported folders against `mirror encode`, loaded by fastembed as a model that the user defines.
//!
//!     fastembed-client CASES.json     (ONNX Runtime's library in ORT_DYLIB_PATH)

use std::error::Error;
use std::fs;
use std::path::{PathBuf};

use fastembed::{
    InitOptionsUserDefined, OutputKey, Pooling, QuantizationMode, TextEmbedding, TokenizerFiles,
    UserDefinedEmbeddingModel,
};

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    folder: PathBuf,
    pooling: String,
    precisions: Vec<String>,
    sentences: Vec<String>,
    /// `mirror encode --normalize` of the sentences, an array a line.
    expected: PathBuf,
    batch: usize,
}

const LEAST_COSINE: f32 = 0.98;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("a file of cases is needed")?;
    let cases: Vec<Case> = serde_json::from_str(&fs::read_to_string(path)?)?;
    for case in &cases {
        let expected = fs::read_to_string(&case.expected)?;
        let expected: Vec<Vec<f32>> =
            expected.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        for precision in &case.precisions {
            let embedded = embed(case, precision, None)?;
            compare("fastembed, sentence_embedding", case, precision, &embedded, &expected)?;
            let pooling = match case.pooling.as_str() {
                "mean" => Pooling::Mean,
                "cls" => Pooling::Cls,
                _ => continue,
            };
            let pooled = embed(case, precision, Some(pooling))?;
            compare("fastembed, its own pooling", case, precision, &pooled, &expected)?;
        }
    }
    Ok(())
}

/// Embeddings by the graph's own sentence_embedding, or pooled by fastembed.
fn embed(case: &Case, precision: &str, pooling: Option<Pooling>) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let read = |name: &str| fs::read(case.folder.join(name)).map_err(|error| format!("{name}: {error}"));
    let (file, quantization) = match precision {
        "f16" => ("onnx/model_fp16.onnx", QuantizationMode::None),
        "int8" => ("onnx/model_int8.onnx", QuantizationMode::Dynamic),
        _ => ("onnx/model.onnx", QuantizationMode::None),
    };
    let tokenizer_files = TokenizerFiles {
        tokenizer_file: read("tokenizer.json")?,
        config_file: read("config.json")?,
        special_tokens_map_file: read("special_tokens_map.json")?,
        tokenizer_config_file: read("tokenizer_config.json")?,
    };
    let mut model =
        UserDefinedEmbeddingModel::new(read(file)?, tokenizer_files).with_quantization(quantization.clone());
    match pooling {
        Some(pooling) => model = model.with_pooling(pooling),
        None => model.output_key = Some(OutputKey::ByName("sentence_embedding")),
    }
    let mut encoder = TextEmbedding::try_new_from_user_defined(model, InitOptionsUserDefined::default())?;
    let batch = (quantization == QuantizationMode::None).then_some(case.batch);
    Ok(encoder.embed(&case.sentences, batch)?)
}

fn compare(
    client: &str,
    case: &Case,
    precision: &str,
    rows: &[Vec<f32>],
    expected: &[Vec<f32>],
) -> Result<(), Box<dyn Error>> {
    let tolerance = match precision {
        "f32" => 1e-4,
        "f16" => 2e-3,
        _ => f32::INFINITY,
    };
    if rows.len() != expected.len() || rows.iter().zip(expected).any(|(a, b)| a.len() != b.len()) {
        return Err("the embeddings have another shape".into());
    }
    let differences = rows.iter().zip(expected).map(|(a, b)| {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0f32, |most, d| if d <= most { most } else { d })
    });
    let differences: Vec<f32> = differences.collect();
    let (worst, largest) =
        differences.iter().enumerate().fold((0, 0f32), |most, (i, &d)| if d <= most.1 { most } else { (i, d) });
    let dot = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let cosine = rows.iter().zip(expected).map(dot).sum::<f32>() / rows.len() as f32;
    let name = &case.name;
    println!("{client}: {name} {precision}: largest difference {largest:.1e}, mean cosine {cosine:.5}");
    let fits = largest <= tolerance && (precision != "int8" || cosine >= LEAST_COSINE);
    match fits {
        true => Ok(()),
        false => Err(format!("{client}: {name} {precision}: {:?}", case.sentences[worst]).into()),
    }
}
