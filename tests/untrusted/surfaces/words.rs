//! Published sets of word pairs.

use sts_eval::WordFolder;

use super::{folder_with, is_a_sentence, seeds_of};

fn files() -> Vec<(&'static str, Vec<u8>)> {
    let simlex = "word1\tword2\tPOS\tSimLex999\tconc(w1)\nold\tnew\tA\t1.25\t2.7\nsmart\tbright\tA\t9.5\t1\n";
    let simverb = "take\tkeep\tV\t6.5\tNONE\r\nwalk\tstroll\tV\t4.25\tSYNONYMS\r\n";
    let words = "ID,ENG 1,ENG 2,CMN 1\n1,arm,\"leg\",手\n2,roof,floor,顶\n";
    vec![
        ("SimLex-999.txt", simlex.into()),
        ("SimVerb-3500.txt", simverb.into()),
        ("translation.csv", words.into()),
        ("scores.csv", "ID,CMN,ENG\n1,2,0.5\n2,3.5,3\n".into()),
    ]
}

pub fn read(bytes: &[u8]) {
    let Some(folder) = folder_with(&files(), bytes) else { return };
    match WordFolder::open(folder.path()).and_then(|words| words.tasks()) {
        Ok(tasks) => {
            assert!(
                tasks.iter().all(|task| task.pair_count() > 0 && task.pairs().all(|p| p.gold.is_finite()))
            );
        }
        Err(error) => is_a_sentence(error),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    // In the place of the first file, with a column for each annotator, and without a header.
    let others = [
        "\0id;Word 1;Word 2;Annotator1;Annotator2\n1;a;b;1;2\n2;c;d;;3\n",
        "\0# own\nold new 1.5\nbig large 9\n",
    ];
    seeds_of(&files()).into_iter().chain(others.map(|text| text.as_bytes().to_vec())).collect()
}
