//! Batches made ahead: the same ones, with faults in their place.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn a_prefetched_epoch_is_the_same_and_faults_come_out_in_their_place() {
    let corpus = repeating(&[2; 300]);
    let plain: Vec<Batch> = corpus.epoch(&batching(10, 1), 0).unwrap().map(Result::unwrap).collect();
    let epoch = || corpus.epoch(&batching(10, 1), 0).unwrap();
    let mut prefetch = Prefetch::new(epoch(), Ok::<_, CorpusError>).unwrap();
    let prefetched: Vec<Batch> = prefetch.by_ref().map(Result::unwrap).collect();
    assert_eq!(prefetched, plain);
    assert_eq!(prefetch.finish().unwrap().summary().unwrap().steps, 60);

    let faulty = |panics: bool| {
        move |batch: Batch| match (batch.step, panics) {
            (7, true) => panic!("token {} is unknown", batch.step),
            (7, false) => Err(anyhow::anyhow!("no token")),
            _ => Ok(batch.step),
        }
    };
    for (panics, expected) in [(true, "token 7 is unknown"), (false, "no token")] {
        let found: Vec<_> = Prefetch::new(epoch(), faulty(panics)).unwrap().collect();
        assert_eq!(found.len(), 8);
        assert!(found[..7].iter().enumerate().all(|(i, step)| *step.as_ref().unwrap() == i as u64));
        let error = found[7].as_ref().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn dropping_a_prefetch_ends_its_thread_after_at_most_three_batches() {
    let corpus = repeating(&[1; 2000]);
    let alive = Arc::new(());
    let (witness, made) = (Arc::clone(&alive), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&made);
    let mut prefetch = Prefetch::new(corpus.epoch(&batching(2, 1), 0).unwrap(), move |batch| {
        let _ = &witness;
        counter.fetch_add(1, Ordering::SeqCst);
        Ok::<_, CorpusError>(batch)
    })
    .unwrap();
    prefetch.next().unwrap().unwrap();
    drop(prefetch);
    assert_eq!(Arc::strong_count(&alive), 1, "the thread has dropped what it held");
    // One taken, two waiting, one in the making.
    assert!(made.load(Ordering::SeqCst) <= 4);
}
