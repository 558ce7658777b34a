//! Operands of kernels: how they are read and written, one by one and four at a time.

use super::{Body, little};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32X4, I8, I16, I16X8, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Value};
use mmh_lower::kernel::{Element, Kind, Mode, Pattern};

impl Body<'_, '_, '_, '_> {
    fn address(&mut self, operand: usize, dtype: Element, pattern: Pattern) -> Value {
        let pointer = self.row.pointers[operand];
        let offset = match pattern {
            Pattern::Unit => self.e.f.ins().imul_imm_s(self.column, dtype.bytes() as i64),
            Pattern::Strided => self.e.f.ins().imul(self.column, self.steps[operand]),
            Pattern::Splat => return pointer,
        };
        self.e.f.ins().iadd(pointer, offset)
    }

    pub(super) fn load(&mut self, n: usize) -> Value {
        let load = self.e.kernel.loads[n];
        if let Some(value) = self.row.splats[n] {
            return self.spread(load.dtype, value);
        }
        let address = self.address(n, load.dtype, load.pattern);
        if !self.wide() {
            return self.e.scalar_load(load.dtype, address);
        }
        let flags = MemFlagsData::trusted();
        match (load.pattern, load.dtype) {
            (Pattern::Unit, Element::F32) => self.e.f.ins().load(F32X4, flags, address, 0),
            (Pattern::Unit, Element::I32) => self.e.f.ins().load(I32X4, flags, address, 0),
            (Pattern::Unit, Element::Bf16) => self.four_halves(address),
            (Pattern::Unit, Element::U8) => self.four_bytes(address),
            (Pattern::Unit, Element::Bool) => {
                let bytes = self.four_bytes(address);
                self.nonzero(bytes)
            }
            (Pattern::Strided | Pattern::Splat, dtype) => self.gather(n, dtype, address),
        }
    }

    fn four_bytes(&mut self, address: Value) -> Value {
        let word = self
            .e
            .f
            .ins()
            .load(I32, MemFlagsData::trusted(), address, 0);
        let vector = self.e.f.ins().scalar_to_vector(I32X4, word);
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        let bytes = self
            .e
            .f
            .ins()
            .bitcast(cranelift_codegen::ir::types::I8X16, flags, vector);
        let halves = self.e.f.ins().uwiden_low(bytes);
        debug_assert_eq!(self.e.f.func.dfg.value_type(halves), I16X8);
        self.e.f.ins().uwiden_low(halves)
    }

    /// Four bf16 as floats.
    fn four_halves(&mut self, address: Value) -> Value {
        let flags = MemFlagsData::trusted();
        let word = self.e.f.ins().load(I64, flags, address, 0);
        let vector = self.e.f.ins().scalar_to_vector(I64X2, word);
        let halves = self.e.f.ins().bitcast(I16X8, little(), vector);
        let words = self.e.f.ins().uwiden_low(halves);
        let bits = self.e.f.ins().ishl_imm_u(words, 16);
        self.e.f.ins().bitcast(F32X4, little(), bits)
    }

    /// The upper halves of floats, as memory holds them: one, or four in a word.
    fn upper_halves(&mut self, value: Value) -> Value {
        let int = self.int();
        let bits = self.e.f.ins().bitcast(int, little(), value);
        let upper = self.e.f.ins().ushr_imm_u(bits, 16);
        if !self.wide() {
            return self.e.f.ins().ireduce(I16, upper);
        }
        let halves = self.e.f.ins().unarrow(upper, upper);
        let words = self.e.f.ins().bitcast(I64X2, little(), halves);
        self.e.f.ins().extractlane(words, 0)
    }

    fn nonzero(&mut self, ints: Value) -> Value {
        let zero = self.e.f.ins().iconst(I32, 0);
        let zeros = self.e.f.ins().splat(I32X4, zero);
        self.e.f.ins().icmp(IntCC::NotEqual, ints, zeros)
    }

    fn gather(&mut self, n: usize, dtype: Element, address: Value) -> Value {
        let mut pointer = address;
        let mut vector = None;
        for lane in 0..4u8 {
            let raw = self.e.scalar_load(dtype, pointer);
            let element = if dtype == Element::Bool {
                self.e.f.ins().uextend(I32, raw)
            } else {
                raw
            };
            vector = Some(match vector {
                None => {
                    let ty = self.e.f.func.dfg.value_type(element).by(4);
                    let ty = ty.unwrap_or(I32X4);
                    self.e.f.ins().splat(ty, element)
                }
                Some(v) => self.e.f.ins().insertlane(v, element, lane),
            });
            pointer = self.e.f.ins().iadd(pointer, self.steps[n]);
        }
        let vector = vector.unwrap_or(address);
        if dtype == Element::Bool {
            self.nonzero(vector)
        } else {
            vector
        }
    }

    /// A row's element for every lane.
    fn spread(&mut self, dtype: Element, value: Value) -> Value {
        if !self.wide() {
            return value;
        }
        match dtype {
            Element::F32 | Element::Bf16 => self.e.f.ins().splat(F32X4, value),
            Element::I32 | Element::U8 => self.e.f.ins().splat(I32X4, value),
            Element::Bool => {
                let word = self.e.f.ins().uextend(I32, value);
                let words = self.e.f.ins().splat(I32X4, word);
                self.nonzero(words)
            }
        }
    }

    pub(super) fn store(
        &mut self,
        operand: usize,
        store: &mmh_lower::kernel::Store,
        value: Value,
        kind: Kind,
    ) {
        let flags = MemFlagsData::trusted();
        let address = self.address(operand, store.dtype, store.pattern);
        if self.wide()
            && (kind == Kind::Mask
                || store.pattern == Pattern::Strided
                || store.dtype == Element::U8)
        {
            return self.scatter(operand, store, value, kind, address);
        }
        let float = self.float();
        let value = match store.mode {
            Mode::Write => value,
            Mode::Sum => {
                let old = self.e.f.ins().load(float, flags, address, 0);
                self.e.f.ins().fadd(old, value)
            }
            Mode::Max => {
                let old = self.e.f.ins().load(float, flags, address, 0);
                self.choose(FloatCC::GreaterThan, old, value)
            }
            Mode::Min => {
                let old = self.e.f.ins().load(float, flags, address, 0);
                self.choose(FloatCC::LessThan, old, value)
            }
        };
        let value = match store.dtype {
            Element::U8 => self.e.f.ins().ireduce(I8, value),
            Element::Bf16 => self.upper_halves(value),
            _ => value,
        };
        self.e.f.ins().store(flags, value, address, 0);
    }

    /// Lane by lane, for truth values and strided results.
    fn scatter(
        &mut self,
        operand: usize,
        store: &mmh_lower::kernel::Store,
        value: Value,
        kind: Kind,
        address: Value,
    ) {
        let flags = MemFlagsData::trusted();
        let mut pointer = address;
        for lane in 0..4u8 {
            let element = self.e.f.ins().extractlane(value, lane);
            let element = if kind == Kind::Mask {
                let bit = self.e.f.ins().band_imm_u(element, 1);
                self.e.f.ins().ireduce(I8, bit)
            } else if store.dtype == Element::U8 {
                self.e.f.ins().ireduce(I8, element)
            } else if store.dtype == Element::Bf16 {
                let bits = self.e.f.ins().bitcast(I32, little(), element);
                let upper = self.e.f.ins().ushr_imm_u(bits, 16);
                self.e.f.ins().ireduce(I16, upper)
            } else {
                element
            };
            self.e.f.ins().store(flags, element, pointer, 0);
            pointer = match store.pattern {
                Pattern::Strided => self.e.f.ins().iadd(pointer, self.steps[operand]),
                Pattern::Unit | Pattern::Splat => self
                    .e
                    .f
                    .ins()
                    .iadd_imm_s(pointer, store.dtype.bytes() as i64),
            };
        }
    }
}
