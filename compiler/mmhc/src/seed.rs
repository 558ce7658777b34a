//! `mmhc seed`: 256 bits from the system, as a line for a recipe.

use crate::findings::Finding;
use crate::outcome::{Exit, Failure, Outcome};
use crate::system;
use mmh_diag::Code;

pub(crate) fn seed() -> Outcome {
    let mut bits = [0_u8; 32];
    getrandom::fill(&mut bits).map_err(|error| {
        let message = format!("the system gives no random numbers: {error}");
        let help = "write a seed of your own, such as `seed 7`";
        Failure::of(
            Finding::error(Code::RunDevice, message, help),
            false,
            Exit::Device,
        )
    })?;
    let hex: String = bits.iter().map(|byte| format!("{byte:02x}")).collect();
    system::say(&format!("seed 0x{hex}\n"));
    Ok(())
}
