//! What the tests share: a small synthetic SentEval folder and a deterministic encoder.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use tempfile::TempDir;

/// A hashed bag of words, [sentences, 256]: words are what spaces separate, each counts ±1 at its FNV-1a hash. The
/// entries are small integers, so cosines tie exactly where they should.
pub fn bag_of_words(sentences: &[&str]) -> Result<Array2<f32>, Infallible> {
    let mut rows = Array2::zeros((sentences.len(), 256));
    for (row, sentence) in sentences.iter().enumerate() {
        for word in sentence.split(' ').filter(|word| !word.is_empty()) {
            let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            rows[[row, (hash % 256) as usize]] += if hash >> 63 == 1 { -1.0 } else { 1.0 };
        }
    }
    Ok(rows)
}

/// The real data sets, where this machine has them.
pub fn real_data() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/senteval/downstream");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no STS data at {}", folder.display());
    None
}

pub const SUBSETS: [(&str, &[&str]); 5] = [
    ("STS12", &["MSRpar", "MSRvid", "SMTeuroparl", "surprise.OnWN", "surprise.SMTnews"]),
    ("STS13", &["FNWN", "headlines", "OnWN"]),
    ("STS14", &["deft-forum", "deft-news", "headlines", "images", "OnWN", "tweet-news"]),
    ("STS15", &["answers-forums", "answers-students", "belief", "headlines", "images"]),
    ("STS16", &["answer-answer", "headlines", "plagiarism", "postediting", "question-question"]),
];

/// A whole SentEval folder of three made-up pairs a file. Files are changed or removed to make faults.
pub struct Synthetic {
    folder: TempDir,
}

impl Synthetic {
    pub fn new() -> Self {
        let synthetic = Self { folder: tempfile::tempdir().unwrap() };
        for (year, subsets) in SUBSETS {
            for name in subsets {
                let input = format!("red {name}\tred {name}\nblue sky\tgreen {name}\nblue sea\tblue lake\n");
                synthetic.write(&format!("STS/{year}-en-test/STS.input.{name}.txt"), input);
                synthetic.write(&format!("STS/{year}-en-test/STS.gs.{name}.txt"), "5.000\n0.5\n2\n");
            }
        }
        for split in ["train", "dev", "test"] {
            let rows = "captions\tx\t2012\t1\t5.000\tone cat\tone cat\n\
                        news\tx\t2012\t2\t1.0\ttwo cats\tno dog\n\
                        captions\tx\t2012\t3\t3.2\ta cat\ta dog\tsource\tsource\n";
            synthetic.write(&format!("STS/STSBenchmark/sts-{split}.csv"), rows);
        }
        for file in ["SICK_train.txt", "SICK_trial.txt", "SICK_test_annotated.txt"] {
            let rows = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\r\n\
                        1\ta boy runs\ta boy runs fast\t4.5\tNEUTRAL\r\n\
                        2\ta boy runs\tsnow falls\t1\tNEUTRAL\r\n";
            synthetic.write(&format!("SICK/{file}"), rows);
        }
        synthetic
    }

    /// The folder above `downstream`.
    pub fn parent(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("downstream").join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn remove(&self, name: &str) {
        let path = self.path(name);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
}
