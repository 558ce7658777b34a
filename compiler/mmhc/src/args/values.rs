//! How values of the command line are written.

use super::LogTarget;
use mmh_cpu::isa::Isa;
use mmh_runtime::Limit;
use std::ops::RangeInclusive;

pub(super) fn setting(text: &str) -> Result<(String, String), String> {
    let parts = text
        .split_once('=')
        .map(|(path, value)| (path.trim(), value.trim()));
    match parts {
        Some((path, value)) if !path.is_empty() && !value.is_empty() => {
            Ok((path.to_owned(), value.to_owned()))
        }
        _ => Err("write it as path=value, such as `fit.optimize.lr=1e-3`".to_owned()),
    }
}

pub(super) fn limit(text: &str) -> Result<Limit, String> {
    let refuse = || "write a number and its unit, such as `5 steps` or `2 epochs`".to_owned();
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(refuse)?;
    let number: u64 = number.parse().map_err(|_| refuse())?;
    match unit.trim() {
        "step" | "steps" => Ok(Limit::Steps(number)),
        "epoch" | "epochs" => Ok(Limit::Epochs(number)),
        _ => Err(refuse()),
    }
}

pub(super) fn inclusive(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let parts = text.split_once("..");
    match parts.and_then(|(first, last)| Some((number(first)?, number(last)?))) {
        Some((first, last)) if first <= last => Ok(first..=last),
        _ => Err("write the first and the last step, such as `40..60`".to_owned()),
    }
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    let refuse = || "write a share such as `1%`, above 0% and up to 100%".to_owned();
    let number = text.trim().strip_suffix('%').ok_or_else(refuse)?;
    let percent: f64 = number.trim().parse().map_err(|_| refuse())?;
    match percent > 0.0 && percent <= 100.0 {
        true => Ok(percent / 100.0),
        false => Err(refuse()),
    }
}

pub(super) fn steps(text: &str) -> Result<std::ops::Range<u64>, String> {
    let refuse = || "write two numbers of steps, the smaller first, such as `100..110`".to_owned();
    let (start, end) = text.trim().split_once("..").ok_or_else(refuse)?;
    let start: u64 = start.parse().map_err(|_| refuse())?;
    let end: u64 = end.parse().map_err(|_| refuse())?;
    match start < end {
        true => Ok(start..end),
        false => Err(refuse()),
    }
}

pub(super) fn isa(text: &str) -> Result<Isa, String> {
    let isa: Isa = text.parse()?;
    let here = match isa {
        Isa::Scalar => true,
        Isa::Neon => cfg!(target_arch = "aarch64"),
        Isa::Avx2 | Isa::Avx512 => cfg!(target_arch = "x86_64"),
    };
    if here {
        Ok(isa)
    } else {
        let arch = std::env::consts::ARCH;
        Err(format!(
            "{isa} belongs to another family of processors than {arch}"
        ))
    }
}

pub(super) fn temperature(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("a temperature is a number from 0".to_owned()),
    }
}

pub(super) fn log_target(text: &str) -> Result<LogTarget, String> {
    match text.split_once('=') {
        Some(("tensorboard", folder)) if !folder.is_empty() => {
            Ok(LogTarget::TensorBoard(folder.into()))
        }
        Some(("mlflow", url)) if !url.is_empty() => Ok(LogTarget::MlFlow(url.to_owned())),
        _ => Err("write `tensorboard=DIR` or `mlflow=http://HOST:PORT`".to_owned()),
    }
}

pub(super) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1e9 => Ok(value),
        _ => Err("seconds are a number above 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_need_units() {
        assert_eq!(limit("5 steps"), Ok(Limit::Steps(5)));
        assert_eq!(limit(" 1epoch "), Ok(Limit::Epochs(1)));
        for wrong in [
            "",
            "5",
            "steps",
            "-1 steps",
            "1.5 epochs",
            "5 hours",
            "é steps",
            "99999999999999999999 steps",
        ] {
            assert!(limit(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn shares_and_steps_are_read_and_refused() {
        assert_eq!((share("1%"), share("100 %")), (Ok(0.01), Ok(1.0)));
        for wrong in ["", "1", "0%", "101%", "-1%", "nan%", "%"] {
            assert!(share(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(steps("3..7"), Ok(3..7));
        for wrong in ["", "3", "..7", "7..3", "3..3", "a..b", "-1..2"] {
            assert!(steps(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn settings_are_split_at_the_first_sign() {
        assert_eq!(
            setting("a.b = \"x=y\""),
            Ok(("a.b".into(), "\"x=y\"".into()))
        );
        assert!(setting("a").is_err() && setting("=1").is_err() && setting("a=").is_err());
    }

    #[test]
    fn instruction_sets_of_other_processors_are_wrong_usage() {
        assert_eq!(isa("scalar"), Ok(Isa::Scalar));
        assert_eq!(isa("neon").is_ok(), cfg!(target_arch = "aarch64"));
        assert_eq!(isa("avx512").is_ok(), cfg!(target_arch = "x86_64"));
        assert!(isa("sse").is_err());
    }
}
