//! Devices are admitted by what they compute: a right one on some rung, one with a mistake not at all.

mod support;

use mmh_gpu::rungs::{Fault, Keep, Operation, Rungs, Way};
use mmh_ir::device::Device;
use support::adapter;

#[test]
fn a_right_device_is_admitted_and_says_by_which_rungs() {
    let Some(adapter) = adapter("admission") else {
        return;
    };
    let gpu = adapter
        .admit()
        .unwrap_or_else(|refusal| panic!("{}: {refusal}", adapter.identity()));
    println!("{}: {}", adapter.identity(), gpu.rungs());
    assert_eq!(gpu.name(), "gpu");
    assert!(gpu.isa().contains(adapter.name()));
    let again = adapter.admitted(gpu.rungs()).map(|gpu| gpu.rungs());
    assert_eq!(again, Ok(gpu.rungs()));
}

#[test]
fn integers_alone_are_enough() {
    let Some(adapter) = adapter("integers") else {
        return;
    };
    let rungs = adapter
        .try_way(Way::Integer, Keep::Hidden)
        .unwrap_or_else(|refusal| panic!("{}: {refusal}", adapter.identity()));
    assert_eq!(rungs, Rungs::all(Way::Integer));
    assert_eq!(rungs.of(Operation::Sqrt), Way::Integer);
}

#[test]
fn expressions_are_kept_by_marks_and_without() {
    let Some(adapter) = adapter("marks") else {
        return;
    };
    let hidden = adapter.try_way(Way::Native, Keep::Hidden);
    assert_eq!(hidden.map(|rungs| rungs.keep()), Ok(Keep::Hidden));
    let marked = adapter.try_way(Way::Native, Keep::Marked);
    if adapter.takes_marks() {
        let marked = marked.unwrap_or_else(|refusal| panic!("{}: {refusal}", adapter.identity()));
        assert_eq!(marked.keep(), Keep::Marked);
    } else {
        assert!(marked.is_err());
    }
}

#[test]
fn faulty_devices_are_refused_with_the_vector() {
    let Some(adapter) = adapter("faults") else {
        return;
    };
    for (fault, word) in [
        (Fault::UnfusedFma, "fma("),
        (Fault::FlushedSubnormals, "gave 0x"),
        (Fault::ReorderedSum, "sum of"),
    ] {
        let refusal = adapter.admit_faulty(fault).err();
        let refusal = refusal.unwrap_or_else(|| panic!("{fault:?} was not noticed"));
        println!("{fault:?}: {refusal}");
        assert!(refusal.contains(word), "{fault:?}: {refusal}");
        assert!(refusal.contains(", not 0x"), "{fault:?}: {refusal}");
    }
}
