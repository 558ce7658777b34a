//! The `mmhc` command: arguments flow in, files, a result on stdout and words on stderr flow out.
//!
//! Read [`args`] for what can be asked, then the verb of interest: each has a file of its own. All reading and writing of
//! the compiler's side is here; the checker asks through [`world`], and what it finds is drawn by [`render`].

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod args;
mod audit;
mod bisect;
mod card;
mod check;
mod conform;
mod device;
mod devices;
mod diff;
mod doc;
mod emit;
mod explain;
mod facts;
mod findings;
mod fmt;
mod front;
#[cfg(feature = "gpu")]
mod gpu;
mod history;
mod keys;
#[expect(
    unreachable_pub,
    clippy::indexing_slicing,
    reason = "it stands on its own; the JSON it indexes is made beside it"
)]
mod legacy;
mod lock;
mod log;
mod logs;
mod lsp;
mod mend;
mod new;
mod not_yet;
mod outcome;
mod placement;
mod predict;
mod profile;
mod progress;
mod proof;
mod render;
mod replay;
mod run;
mod search;
mod seed;
mod show;
mod sign;
mod store;
mod streaming;
mod system;
mod verify;
mod world;

use args::{Cli, Verb};
use clap::Parser;
use outcome::Exit;
use std::process::ExitCode;

/// Stack of the thread that does the work: deep expressions are walked by recursion. Only what is used is ever mapped.
const STACK: usize = 256 << 20;

fn main() -> ExitCode {
    system::remember_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody may be listening; there is nothing left to do then.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    streaming::begin(cli.data_memory);
    let worker = std::thread::Builder::new().stack_size(STACK);
    let ended = match worker.spawn(move || dispatch(cli.verb)) {
        Ok(worker) => worker.join(),
        Err(error) => {
            eprintln!("mmhc: the system gives no thread: {error}");
            return Exit::Device.into();
        }
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(_) => system::report_panic().into(),
    }
}

fn dispatch(verb: Verb) -> Exit {
    let ended = match verb {
        Verb::New(args) => new::new(&args),
        Verb::Run(args) => run::run(&args),
        Verb::Check(args) => check::check(&args),
        Verb::Fmt(args) => fmt::fmt(&args),
        Verb::Explain(args) => explain::explain(&args),
        Verb::Doc(args) => doc::doc(&args),
        Verb::Show(args) => show::show(&args),
        Verb::Lock(args) => lock::lock(&args),
        Verb::Seed => seed::seed(),
        Verb::Devices(args) => devices::devices(&args),
        Verb::Conform(args) => conform::conform(&args),
        Verb::Predict(args) => predict::predict(&args),
        Verb::Proof(args) => proof::proof(&args),
        Verb::Legacy(args) => return Exit::of_legacy(legacy::run(&args.pack, args.json)),
        Verb::Lsp(rest) => lsp::lsp(&rest),
        Verb::Log(args) => log::log(&args),
        Verb::Diff(args) => diff::diff(&args),
        Verb::Verify(args) => verify::verify(&args),
        Verb::Sign(args) => sign::sign(&args),
        Verb::Keys(args) => keys::keys(&args),
        Verb::Store(args) => store::store(&args),
        Verb::Fsck(args) => store::fsck(&args),
        Verb::Tag(args) => store::tag(&args),
        Verb::Push(args) => store::push(&args),
        Verb::Pull(args) => store::pull(&args),
        Verb::Replay(args) => replay::replay(&args),
        Verb::Bisect(args) => bisect::bisect(&args),
        Verb::Serve(rest) => not_yet::verb("serve", &rest),
        Verb::Export(rest) => not_yet::verb("export", &rest),
        Verb::Import(rest) => not_yet::verb("import", &rest),
        Verb::Search(rest) => not_yet::verb("search", &rest),
        Verb::Worker(rest) => not_yet::verb("worker", &rest),
        Verb::Federate(rest) => not_yet::verb("federate", &rest),
        Verb::TrialWorker(args) => search::process::work(&args),
    };
    let exit = match ended {
        Ok(()) => Exit::Done,
        Err(failure) => failure.report(),
    };
    store::drop_views();
    exit
}
