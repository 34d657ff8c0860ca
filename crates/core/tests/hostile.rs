//! Large and hostile documents: each ends in an error or a payload, in time and memory that are in proportion to its size.
//!
//! Time is that of the processor, compared between two sizes and never with a clock; a quadratic reading would need sixteen times as long
//! for the larger one. The work of 1 MiB is repeated until its quickest time is trusted, because other programs disturb it.

use std::fmt::Write as _;
use std::time::Duration;

use nix::time::ClockId;
use tekseal_core::config::BuildType;
use tekseal_core::format::{Format, Settings};
use tekseal_core::hints::{self, DeepInspection};
use tekseal_core::run::{ChildDocument, CompletedRun, MAX_RUN_BYTES, MissingChildren};
use tekseal_counting::{Counting, measured};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: usize = 1024 * 1024;

/// How many times as long four times as much may take, and how often it may be tried.
const MOST_GROWTH: f64 = 6.0;
const ATTEMPTS: usize = 5;

/// How many times its size a document may take in memory.
const MOST_MEMORY: u64 = 10;

/// Beginning and end of a completed run, with a place between them.
const TASK_PARAMS: (&str, &str) = (r#""spec":{"params":["#, "]}");
const TASK_STEPS: (&str, &str) = (r#""spec":{"taskSpec":{"steps":["#, "]}}");
const TASK_ARGS: (&str, &str) = (r#""spec":{"taskSpec":{"steps":[{"args":["#, "]}]}}");

/// A completed TaskRun with these members; `inside` stands in its status.
fn task_run(members: &str, inside: &str) -> Vec<u8> {
    run_of("TaskRun", members, inside)
}

fn run_of(kind: &str, members: &str, inside: &str) -> Vec<u8> {
    let comma = if members.is_empty() { "" } else { "," };
    let status = if inside.is_empty() { "" } else { "," };
    format!(
        r#"{{"apiVersion":"tekton.dev/v1","kind":"{kind}"{comma}{members},"status":{{"conditions":[{{"type":"Succeeded","status":"True"}}],"completionTime":"2026-03-01T10:00:00Z","startTime":"2026-03-01T09:00:00Z"{status}{inside}}}}}"#
    )
    .into_bytes()
}

/// Elements, with commas between them, until they fill `size`.
fn filled(size: usize, mut element: impl FnMut(&mut String, usize)) -> String {
    let mut text = String::with_capacity(size + 1024);
    for at in 0.. {
        if text.len() >= size {
            break;
        }
        if at > 0 {
            text.push(',');
        }
        element(&mut text, at);
    }
    text
}

fn repeated(size: usize, element: &str) -> String {
    filled(size, |text, _| text.push_str(element))
}

fn wrapped((before, after): (&str, &str), size: usize, element: &str) -> Vec<u8> {
    task_run(&format!("{before}{}{after}", repeated(size, element)), "")
}

/// Results, one for each number: as many as there is room for.
fn results(size: usize, result: impl Fn(&mut String, usize)) -> Vec<u8> {
    task_run("", &format!(r#""results":[{}]"#, filled(size, result)))
}

/// The same, with so much room between them that the document is not refused for their number.
fn few_results(size: usize, result: impl Fn(&mut String, usize)) -> Vec<u8> {
    results(size, |text, at| {
        let length = text.len();
        result(text, at);
        while text.len() < length + 640 {
            text.push(' ');
        }
    })
}

fn add(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a String takes any text");
}

/// Every shape in which a document is hostile: its name, and the document of about this size.
type Shape = (&'static str, fn(usize) -> Vec<u8>);

const SHAPES: &[Shape] = &[
    ("params without anything", |size| {
        wrapped(TASK_PARAMS, size, "{}")
    }),
    ("params of empty lists", |size| {
        wrapped(TASK_PARAMS, size, r#"{"value":[""]}"#)
    }),
    ("params with long blanks", |size| {
        wrapped(TASK_PARAMS, size, r#"{"value":""              }"#)
    }),
    ("steps without anything", |size| {
        wrapped(TASK_STEPS, size, "{}")
    }),
    ("steps spread out", |size| {
        wrapped(TASK_STEPS, size, "{}                  ")
    }),
    ("empty arguments", |size| wrapped(TASK_ARGS, size, r#""""#)),
    ("arguments spread out", |size| {
        wrapped(TASK_ARGS, size, r#"""                  "#)
    }),
    ("a list in a param", |size| {
        let list = repeated(size, r#""""#);
        wrapped(
            TASK_PARAMS,
            1,
            &format!(r#"{{"name":"a","value":[{list}]}}"#),
        )
    }),
    ("a map in a param", |size| {
        let map = filled(size, |text, at| add(text, format_args!(r#""{at}":"""#)));
        wrapped(
            TASK_PARAMS,
            1,
            &format!(r#"{{"name":"a","value":{{{map}}}}}"#),
        )
    }),
    ("one long text", |size| {
        let text = "text \\n \\\" é ".repeat(size / 16);
        wrapped(
            TASK_STEPS,
            1,
            &format!(r#"{{"name":"a","script":"{text}"}}"#),
        )
    }),
    ("nested lists in a param", |size| {
        let nested = "[".repeat(size / 2) + &"]".repeat(size / 2);
        wrapped(
            TASK_PARAMS,
            1,
            &format!(r#"{{"name":"a","value":{nested}}}"#),
        )
    }),
    ("nested objects where nothing is known", |size| {
        let depth = size / 7;
        task_run(
            &format!(
                r#""unknown":{}{}"#,
                r#"{"a":["#.repeat(depth),
                "]}".repeat(depth)
            ),
            "",
        )
    }),
    ("nested statuses of retries", |size| {
        let depth = size / 20;
        task_run(
            "",
            &(r#""retriesStatus":[{"#.repeat(depth) + &"}]".repeat(depth)),
        )
    }),
    ("labels", |size| {
        let labels = filled(size, |text, at| add(text, format_args!(r#""{at}":"""#)));
        task_run(&format!(r#""metadata":{{"labels":{{{labels}}}}}"#), "")
    }),
    ("labels backwards", |size| {
        let labels = filled(size, |text, at| {
            add(
                text,
                format_args!(r#""label-{:012}":"value""#, 10_000_000 - at),
            )
        });
        task_run(&format!(r#""metadata":{{"labels":{{{labels}}}}}"#), "")
    }),
    ("the same label", |size| {
        task_run(
            &format!(
                r#""metadata":{{"labels":{{{}}}}}"#,
                repeated(size, r#""the-same-label":"value""#)
            ),
            "",
        )
    }),
    ("the same field", |size| {
        task_run(&repeated(size, r#""spec":{}"#), "")
    }),
    ("unknown fields", |size| {
        task_run(
            &filled(size, |text, at| {
                add(text, format_args!(r#""field{at}":{{"a":[]}}"#))
            }),
            "",
        )
    }),
    ("names of images alone", |size| {
        results(size, |text, at| {
            add(
                text,
                format_args!(r#"{{"name":"{at}IMAGE_URL","value":"r.io/a"}}"#),
            )
        })
    }),
    ("names of images with the same marker", |size| {
        results(size, |text, _| {
            add(
                text,
                format_args!(r#"{{"name":"an-IMAGE_URL","value":"r.io/app"}}"#),
            )
        })
    }),
    ("pairs of image and digest", |size| {
        results(size, |text, at| {
            add(
                text,
                format_args!(
                    r#"{{"name":"{at}IMAGE_URL","value":"r.io/app{at}"}},{{"name":"{at}IMAGE_DIGEST","value":"sha256:{at:064x}"}}"#
                ),
            );
        })
    }),
    ("the same image again", |size| {
        results(size, |text, at| {
            add(
                text,
                format_args!(
                    r#"{{"name":"{at}IMAGE_URL","value":"r.io/app"}},{{"name":"{at}IMAGE_DIGEST","value":"sha256:{:064x}"}}"#,
                    7
                ),
            );
        })
    }),
    ("nearly hints", |size| {
        results(size, |text, at| {
            add(
                text,
                format_args!(r#"{{"name":"{at}-image-url","value":"r.io/application"}}"#),
            )
        })
    }),
    ("a list of images", |size| {
        let images = filled(size, |text, at| {
            add(text, format_args!("r.io/app{at}@sha256:{at:064x}"))
        });
        task_run(
            "",
            &format!(r#""results":[{{"name":"IMAGES","value":"{images}"}}]"#),
        )
    }),
    ("a list of bad images", |size| {
        let images = filled(size, |text, at| add(text, format_args!("image{at}")));
        task_run(
            "",
            &format!(r#""results":[{{"name":"IMAGES","value":"{images}"}}]"#),
        )
    }),
    ("outputs", |size| {
        results(size, |text, at| {
            add(
                text,
                format_args!(
                    r#"{{"name":"{at}ARTIFACT_OUTPUTS","value":{{"uri":"r.io/a{at}","digest":"sha256:{at:064x}","isBuildArtifact":"true"}}}}"#
                ),
            );
        })
    }),
    ("few outputs", |size| {
        few_results(size, |text, at| {
            add(
                text,
                format_args!(
                    r#"{{"name":"{at}ARTIFACT_OUTPUTS","value":{{"uri":"r.io/a{at}","digest":"sha256:{at:064x}","isBuildArtifact":"true"}}}}"#
                ),
            );
        })
    }),
    ("few names of images alone", |size| {
        few_results(size, |text, at| {
            add(
                text,
                format_args!(r#"{{"name":"{at}IMAGE_URL","value":"r.io/a"}}"#),
            )
        })
    }),
    ("few results with much in them", |size| {
        let value = "<&>".repeat(100);
        few_results(size, |text, at| {
            add(
                text,
                format_args!(r#"{{"name":"{at}-image-url","value":"{value}"}}"#),
            )
        })
    }),
    ("a long name of a run with results", |size| {
        let name = "n".repeat(size / 2);
        let results = repeated(
            100_000,
            r#"{"name":"result","value":"some value of this result"}                            "#,
        );
        task_run(
            &format!(r#""metadata":{{"name":"{name}"}}"#),
            &format!(r#""results":[{results}]"#),
        )
    }),
    ("steps that ran and that were specified", |size| {
        let ran = filled(size / 2, |text, at| {
            add(
                text,
                format_args!(r#"{{"name":"s{at}","imageID":"r.io/a@sha256:{at:064x}"}}"#),
            );
        });
        let specified = filled(size / 2, |text, at| {
            add(
                text,
                format_args!(
                    r#"{{"name":"s{}","script":"a script of a step"}}"#,
                    90_000 - at
                ),
            )
        });
        task_run(
            "",
            &format!(r#""steps":[{ran}],"taskSpec":{{"steps":[{specified}]}}"#),
        )
    }),
];

/// The same for PipelineRuns, which are given with one child of the task `a`, named `child`.
const PIPELINES: &[Shape] = &[
    ("a child that is named over and over", |size| {
        let references = repeated(size, r#"{"name":"child","pipelineTaskName":"a"}"#);
        pipeline_run(r#"{"name":"a"}"#, &references)
    }),
    ("a task that is there over and over", |size| {
        pipeline_run(
            &repeated(size, r#"{"name":"a","displayName":"again"}"#),
            r#"{"name":"child"}"#,
        )
    }),
    ("both", |size| {
        let references = repeated(size / 2, r#"{"name":"child","pipelineTaskName":"a"}"#);
        pipeline_run(
            &repeated(size / 2, r#"{"name":"a","displayName":"again"}"#),
            &references,
        )
    }),
    ("children that are not there", |size| {
        pipeline_run(
            r#"{"name":"a"}"#,
            &filled(size, |text, at| {
                add(
                    text,
                    format_args!(r#"{{"name":"c{at}","pipelineTaskName":"a"}}"#),
                )
            }),
        )
    }),
    ("a task after many", |size| {
        let names = filled(size / 2, |text, at| {
            add(text, format_args!("$(tasks.t{at}.results.r)"))
        });
        let after = filled(size / 2, |text, at| {
            add(text, format_args!(r#""some-task-{at}""#))
        });
        let task = format!(
            r#"{{"name":"a","runAfter":[{after}],"params":[{{"name":"p","value":"{names}"}}]}}"#
        );
        pipeline_run(&task, r#"{"name":"child"}"#)
    }),
    ("expressions without an end", |size| {
        let task = format!(
            r#"{{"name":"a","params":[{{"name":"p","value":"{}"}}]}}"#,
            "$(a[".repeat(size / 4)
        );
        pipeline_run(&task, r#"{"name":"child"}"#)
    }),
    ("nested lists where Go keeps JSON", |size| {
        let nested = "[".repeat(size / 2) + &"]".repeat(size / 2);
        pipeline_run(
            &format!(r#"{{"name":"a","taskSpec":{{"spec":{nested}}}}}"#),
            r#"{"name":"child"}"#,
        )
    }),
];

fn pipeline_run(tasks: &str, references: &str) -> Vec<u8> {
    let spec = format!(r#""spec":{{"pipelineSpec":{{"tasks":[{tasks}]}}}}"#);
    let status =
        format!(r#""childReferences":[{references}],"pipelineSpec":{{"tasks":[{tasks}]}}"#);
    // The Pipeline stands twice in it, so half of it is no waste.
    match spec.len() + status.len() > MAX_RUN_BYTES as usize {
        true => run_of("PipelineRun", "", &status),
        false => run_of("PipelineRun", &spec, &status),
    }
}

fn child() -> Vec<u8> {
    let steps = r#""steps":[{"name":"s","imageID":"r.io/a@sha256:00"}],"taskSpec":{"steps":[{"name":"s","script":"run"}]},"results":[{"name":"r","value":"v"}]"#;
    task_run(
        r#""metadata":{"name":"child","labels":{"tekton.dev/pipelineTask":"a"}}"#,
        steps,
    )
}

/// Everything that is made of a run. Whether that is a payload or an error is all the same, as long as it ends.
fn everything(document: &[u8], children: &[ChildDocument<'_>]) {
    let Ok(run) = CompletedRun::from_json(document, children, MissingChildren::Allow) else {
        return;
    };
    let observed = hints::observe(&run);
    for format in Format::ALL {
        for build_type in [BuildType::Slsa, BuildType::SlsaTekton] {
            let settings = Settings {
                builder_id: "https://builder.example.com",
                build_type,
                deep: DeepInspection::On,
            };
            drop(format.payload(&run, &observed, settings));
        }
    }
}

fn processor_time() -> Duration {
    let time = ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    Duration::from(time.expect("every thread has this clock"))
}

/// Seconds of processor time and the peak of memory.
fn cost(document: &[u8], children: &[ChildDocument<'_>]) -> (f64, u64) {
    let start = processor_time();
    let ((), used) = measured(|| everything(document, children));
    ((processor_time() - start).as_secs_f64(), used.peak)
}

/// The problem with a shape, if there is one.
fn problem((name, make): &Shape, children: &[ChildDocument<'_>]) -> Option<String> {
    let small = make(MIB);
    let large = make(MAX_RUN_BYTES as usize - 64 * 1024);
    let growth = large.len() as f64 / small.len() as f64;
    let mut quickest = (f64::MAX, f64::MAX);
    for _ in 0..ATTEMPTS {
        for (document, quickest) in [(&small, &mut quickest.0), (&large, &mut quickest.1)] {
            let (seconds, peak) = cost(document, children);
            *quickest = quickest.min(seconds);
            if peak > MOST_MEMORY * document.len() as u64 {
                return Some(format!(
                    "{name}: {peak} bytes of memory for {} of a document",
                    document.len()
                ));
            }
        }
        if quickest.1 < quickest.0 * MOST_GROWTH {
            return None;
        }
    }
    Some(format!(
        "{name}: {growth:.1} times as much takes {:.1} times as long",
        quickest.1 / quickest.0
    ))
}

#[test]
fn a_hostile_task_run_costs_what_its_size_costs() {
    let problems: Vec<_> = SHAPES
        .iter()
        .filter_map(|shape| problem(shape, &[]))
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_hostile_pipeline_run_costs_what_its_size_costs() {
    let bytes = child();
    let children = [ChildDocument {
        name: "child.json",
        bytes: &bytes,
    }];
    let problems: Vec<_> = PIPELINES
        .iter()
        .filter_map(|shape| problem(shape, &children))
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
