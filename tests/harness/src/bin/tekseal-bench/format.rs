//! How fast a run becomes a statement, on one core and without any file: time and memory, from the document's bytes and from a run that
//! was read already, and how both grow with the children of a PipelineRun.

use std::hint::black_box;
use std::time::Duration;

use nix::time::ClockId;
use tekseal_core::Payload;
use tekseal_core::config::BuildType;
use tekseal_core::format::{Format, Settings};
use tekseal_core::hints::{self, DeepInspection};
use tekseal_core::run::{ChildDocument, CompletedRun, MissingChildren};
use tekseal_counting::measured;

use crate::documents::{self, PipelineDocuments};
use crate::report::Row;

/// The formats, with what a build is described as, and what that is called here.
const FORMATS: [(&str, Format, BuildType); 4] = [
    ("in-toto", Format::InToto, BuildType::Slsa),
    ("v2alpha3", Format::SlsaV2alpha3, BuildType::Slsa),
    ("v2alpha4", Format::SlsaV2alpha4, BuildType::Slsa),
    (
        "v2alpha4-tekton",
        Format::SlsaV2alpha4,
        BuildType::SlsaTekton,
    ),
];

/// How many children the PipelineRun of the second table has.
const CHILDREN: usize = 50;

/// How many children the PipelineRuns of the third table have.
const GROWTH: [(&str, usize); 8] = [
    ("children-1", 1),
    ("children-2", 2),
    ("children-5", 5),
    ("children-10", 10),
    ("children-20", 20),
    ("children-50", 50),
    ("children-100", 100),
    ("children-200", 200),
];

/// How many microseconds one measurement is long, at least.
const SLICE_US: f64 = 20_000.0;

/// Documents of one run.
struct Work {
    name: &'static str,
    documents: PipelineDocuments,
}

/// Measures everything and prints tables.
pub(crate) fn run(rounds: usize) -> Vec<Row> {
    let task = Work {
        name: "taskrun",
        documents: PipelineDocuments {
            run: documents::task_run(),
            children: Vec::new(),
        },
    };
    let pipeline = Work {
        name: "pipelinerun",
        documents: documents::pipeline_run(CHILDREN),
    };
    let mut rows = Vec::new();
    for work in [&task, &pipeline] {
        println!(
            "\n{}: {} bytes of JSON, {} children",
            work.name,
            work.size(),
            work.documents.children.len()
        );
        println!(
            "{:<16} {:>10} {:>9} {:>19} {:>9} {:>10} {:>10} {:>9} {:>10} {:>9}",
            "format",
            "per_s",
            "whole_us",
            "(min-max)",
            "format_us",
            "alloc_b",
            "peak_b",
            "allocs",
            "format_b",
            "payload_b"
        );
        for format in &FORMATS {
            rows.extend(work.table(format, rounds));
        }
    }
    println!(
        "\ngrowth: microseconds of one run with so many children, and (of it for each child), from JSON to payload"
    );
    print!("{:<16}", "children");
    for (name, ..) in &FORMATS {
        print!(" {name:>20}");
    }
    println!();
    for (name, children) in GROWTH {
        let work = Work {
            name,
            documents: documents::pipeline_run(children),
        };
        print!("{children:<16}");
        for format in &FORMATS {
            let row = Row::of(
                name,
                format.0,
                "whole_us",
                timed(rounds, || drop(black_box(work.whole(format)))),
            );
            let cell = format!(
                "{:.0} ({:.1})",
                row.median,
                row.median / exact(children as u64)
            );
            print!(" {cell:>20}");
            rows.push(row);
        }
        println!();
    }
    rows
}

impl Work {
    fn size(&self) -> usize {
        let children = self.documents.children.iter().map(|(_, bytes)| bytes.len());
        self.documents.run.len() + children.sum::<usize>()
    }

    /// The line of one format.
    fn table(&self, format: &(&'static str, Format, BuildType), rounds: usize) -> Vec<Row> {
        let whole = timed(rounds, || drop(black_box(self.whole(format))));
        let (payload, used) = measured(|| self.whole(format));
        let read = self.read();
        let observed = hints::observe(&read);
        let alone = || {
            format
                .1
                .payload(&read, &observed, settings(format.2))
                .expect("the run has everything")
        };
        let format_alone = timed(rounds, || drop(black_box(alone())));
        let (_, format_used) = measured(alone);
        let per_second = whole.iter().map(|us| 1e6 / us).collect();
        let row = |metric, values| Row::of(self.name, format.0, metric, values);
        let count = |metric, value| row(metric, vec![exact(value)]);
        let rows = [
            row("statements_per_s", per_second),
            row("whole_us", whole),
            row("format_us", format_alone),
            count("alloc_bytes", used.bytes),
            count("peak_bytes", used.peak),
            count("allocations", used.allocations),
            count("format_alloc_bytes", format_used.bytes),
            count("payload_bytes", payload.bytes().len() as u64),
        ];
        let [
            per_s,
            us,
            alone,
            bytes,
            peak,
            allocations,
            format_bytes,
            size,
        ] = &rows;
        let range = format!("({:.1}-{:.1})", us.min, us.max);
        println!(
            "{:<16} {:>10.0} {:>9.1} {range:>19} {:>9.1} {:>10} {:>10} {:>9} {:>10} {:>9}",
            format.0,
            per_s.median,
            us.median,
            alone.median,
            bytes.median,
            peak.median,
            allocations.median,
            format_bytes.median,
            size.median
        );
        rows.to_vec()
    }

    fn read(&self) -> CompletedRun<'_> {
        let children: Vec<_> = self
            .documents
            .children
            .iter()
            .map(|(name, bytes)| ChildDocument { name, bytes })
            .collect();
        CompletedRun::from_json(&self.documents.run, &children, MissingChildren::Refuse)
            .expect("the invented run is completed")
    }

    /// From bytes to bytes.
    fn whole(&self, (_, format, build_type): &(&str, Format, BuildType)) -> Payload {
        let run = self.read();
        let observed = hints::observe(&run);
        format
            .payload(&run, &observed, settings(*build_type))
            .expect("the run has everything")
    }
}

fn settings(build_type: BuildType) -> Settings<'static> {
    Settings {
        builder_id: "https://tekton.dev/chains/v2",
        build_type,
        deep: DeepInspection::On,
    }
}

/// Microseconds of processor time of one call, once for each round: the mean of as many calls as fill a slice of time. Time of the clock
/// would count what other programs do on the core.
fn timed(rounds: usize, mut call: impl FnMut()) -> Vec<f64> {
    let mut slice = |calls: u32| {
        let start = processor_time();
        (0..calls).for_each(|_| call());
        processor_time() - start
    };
    let mut calls = 1;
    while slice(calls) < SLICE_US {
        calls *= 2;
    }
    (0..rounds)
        .map(|_| slice(calls) / f64::from(calls))
        .collect()
}

/// Microseconds that this thread has had a processor.
fn processor_time() -> f64 {
    let time = ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    Duration::from(time.expect("every thread has this clock")).as_secs_f64() * 1e6
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes and counts are far below 2^53"
)]
fn exact(value: u64) -> f64 {
    value as f64
}
