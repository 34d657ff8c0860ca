//! Runs several futures of one task side by side, without spawning: they may borrow, and they end with their owner.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

enum Slot<F: Future> {
    Running(Pin<Box<F>>),
    Done(F::Output),
}

/// The results of `futures` in their order; at most `width` are under way at any time.
pub(super) async fn concurrently<F: Future>(
    width: usize,
    futures: impl IntoIterator<Item = F>,
) -> Vec<F::Output> {
    let mut slots: Vec<Slot<F>> = futures
        .into_iter()
        .map(|future| Slot::Running(Box::pin(future)))
        .collect();
    poll_fn(|context| {
        let mut under_way = 0;
        for slot in &mut slots {
            let Slot::Running(future) = slot else {
                continue;
            };
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                *slot = Slot::Done(output);
                continue;
            }
            under_way += 1;
            if under_way == width {
                break;
            }
        }
        if under_way == 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    let done = slots.into_iter().filter_map(|slot| match slot {
        Slot::Done(output) => Some(output),
        Slot::Running(_) => None,
    });
    done.collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn results_keep_their_order_and_no_more_than_the_width_run_at_once() {
        let (running, most) = (Cell::new(0), Cell::new(0));
        let work = (0..7).map(|number| {
            let (running, most) = (&running, &most);
            async move {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                for _ in 0..(7 - number) {
                    tokio::task::yield_now().await;
                }
                running.set(running.get() - 1);
                number
            }
        });
        assert_eq!(concurrently(3, work).await, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(most.get(), 3);
        assert!(
            concurrently(3, Vec::<std::future::Ready<()>>::new())
                .await
                .is_empty()
        );
    }
}
