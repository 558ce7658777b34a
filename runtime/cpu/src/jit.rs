//! Kernels as machine code, by Cranelift.
//!
//! In flows a [`Kernel`]; out flows a [`Compiled`] function that runs it over rows and columns. Vectors are 128 bits wide
//! (Cranelift's limit); the scalar instruction set gets scalar code and a soft fused multiply-add. Cranelift neither
//! contracts nor reassociates floats, so the bits are those of [`crate::evaluate`].
#![expect(
    unsafe_code,
    reason = "calls into code compiled here, over memory the caller vouches for"
)]

mod memory;

use crate::isa::Isa;
use crate::simd::find;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F32X4, I8, I16, I32, I32X4, I64};
use cranelift_codegen::ir::{
    AbiParam, Block, BlockArg, Endianness, InstBuilder, MemFlagsData, Type, Value,
    immediates::Ieee32,
};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module, default_libcall_names};
use mmh_lower::kernel::{Element, Instr, Kernel, PARAMETERS, PLACES, Pattern, Reg};

/// `fn(pointers, row strides, column strides, rows, columns, index)`: strides in bytes, one per operand; `index` holds
/// the first row, the first column, the places of the outer loops, and from [`PLACES`] on the constants handed over.
pub(crate) type Entry =
    unsafe extern "C" fn(*const *mut u8, *const i64, *const i64, i64, i64, *const i32);

/// A function and the constants it is handed: f32 bits, by number of parameter.
#[derive(Clone, Copy)]
pub(crate) struct Code {
    pub(crate) function: Entry,
    pub(crate) constants: [i32; PARAMETERS],
}

/// One kernel as machine code. The code lives as long as the [`Jit`] that made it.
#[derive(Clone, Copy)]
pub(crate) struct Compiled {
    pub(crate) entry: Code,
}

/// The code of all of `kernels`: what the build brought, and the rest from a code generator, which starts only if needed.
pub(crate) fn compile(
    isa: Isa,
    kernels: &[Kernel],
) -> Result<(Vec<Compiled>, Option<Jit>), String> {
    let found: Vec<Option<Code>> = kernels.iter().map(|kernel| find(isa, kernel)).collect();
    let rest: Vec<Kernel> = kernels
        .iter()
        .zip(&found)
        .filter(|(_, f)| f.is_none())
        .map(|(k, _)| k.clone())
        .collect();
    let mut jit = if rest.is_empty() {
        None
    } else {
        Some(Jit::new(isa)?)
    };
    let mut made = match &mut jit {
        Some(jit) => jit.compile(&rest)?,
        None => Vec::new(),
    }
    .into_iter();
    let entry = |found: Option<Code>| {
        found
            .map(|entry| Compiled { entry })
            .or_else(|| made.next())
    };
    let compiled: Option<Vec<Compiled>> = found.into_iter().map(entry).collect();
    Ok((compiled.ok_or("a kernel has no code")?, jit))
}

/// Compiles kernels for one instruction set.
pub(crate) struct Jit {
    module: Option<JITModule>,
    lanes: usize,
    count: usize,
    context: FunctionBuilderContext,
}

impl Drop for Jit {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: entries are handed out only with the executable that owns this Jit, and not used after it.
            unsafe { module.free_memory() }
        }
    }
}

/// What code without a fused multiply-add of its own calls, lane by lane.
extern "C" fn soft_fma(a: f32, b: f32, c: f32) -> f32 {
    a.mul_add(b, c)
}

impl Jit {
    /// A compiler for `isa`; the reason if this machine has no code generator.
    pub(crate) fn new(isa: Isa) -> Result<Self, String> {
        let mut flags = settings::builder();
        for (name, value) in [
            ("opt_level", "speed"),
            ("is_pic", "false"),
            ("enable_verifier", "false"),
        ] {
            flags.set(name, value).map_err(|e| e.to_string())?;
        }
        let mut builder = cranelift_native::builder_with_options(false).map_err(str::to_string)?;
        let features: &[&str] = match isa {
            Isa::Scalar | Isa::Neon => &[],
            Isa::Avx2 => &X86_64_V3,
            Isa::Avx512 => &X86_64_V4,
        };
        for feature in features {
            builder.enable(feature).map_err(|e| e.to_string())?;
        }
        let target = builder
            .finish(settings::Flags::new(flags))
            .map_err(|e| e.to_string())?;
        let mut jit = JITBuilder::with_isa(target, default_libcall_names());
        jit.symbol("fmaf", soft_fma as *const u8);
        let lanes = if isa == Isa::Scalar { 1 } else { 4 };
        Ok(Self {
            module: Some(JITModule::new(jit)),
            lanes,
            count: 0,
            context: FunctionBuilderContext::new(),
        })
    }

    /// Compiles all of `kernels`.
    pub(crate) fn compile(&mut self, kernels: &[Kernel]) -> Result<Vec<Compiled>, String> {
        let Some(module) = self.module.as_mut() else {
            return Err("the code generator is gone".to_string());
        };
        let mut ids = Vec::with_capacity(kernels.len());
        let mut context = module.make_context();
        for kernel in kernels {
            for _ in 0..6 {
                context.func.signature.params.push(AbiParam::new(I64));
            }
            let config = module.target_config();
            let mut builder = FunctionBuilder::new(&mut context.func, &mut self.context);
            Emitter::new(&mut builder, kernel, self.lanes).function();
            builder.seal_all_blocks();
            builder.finalize(config);
            let name = format!("kernel{}", self.count);
            self.count += 1;
            let id = module
                .declare_function(&name, Linkage::Local, &context.func.signature)
                .map_err(|e| e.to_string())?;
            module
                .define_function(id, &mut context)
                .map_err(|e| format!("{e:?}"))?;
            module.clear_context(&mut context);
            ids.push(id);
        }
        module.finalize_definitions().map_err(|e| e.to_string())?;
        let entry = |id| {
            // SAFETY: the function was just compiled with the signature of `Entry`.
            let function = unsafe {
                std::mem::transmute::<*const u8, Entry>(module.get_finalized_function(id))
            };
            Compiled {
                entry: Code {
                    function,
                    constants: [0; PARAMETERS],
                },
            }
        };
        Ok(ids.into_iter().map(entry).collect())
    }
}

const X86_64_V3: [&str; 12] = [
    "has_sse3",
    "has_ssse3",
    "has_sse41",
    "has_sse42",
    "has_popcnt",
    "has_avx",
    "has_avx2",
    "has_fma",
    "has_bmi1",
    "has_bmi2",
    "has_lzcnt",
    "has_cmpxchg16b",
];
const X86_64_V4: [&str; 15] = [
    "has_sse3",
    "has_ssse3",
    "has_sse41",
    "has_sse42",
    "has_popcnt",
    "has_avx",
    "has_avx2",
    "has_fma",
    "has_bmi1",
    "has_bmi2",
    "has_lzcnt",
    "has_cmpxchg16b",
    "has_avx512f",
    "has_avx512vl",
    "has_avx512dq",
];

/// Operands of one row.
struct Row {
    pointers: Vec<Value>,
    splats: Vec<Option<Value>>,
    place: Value,
}

struct Emitter<'a, 'f> {
    f: &'a mut FunctionBuilder<'f>,
    kernel: &'a Kernel,
    lanes: usize,
}

impl<'a, 'f> Emitter<'a, 'f> {
    fn new(f: &'a mut FunctionBuilder<'f>, kernel: &'a Kernel, lanes: usize) -> Self {
        Self { f, kernel, lanes }
    }

    /// Rows outside, columns inside: vectors first, then one by one.
    fn function(&mut self) {
        let entry = self.f.create_block();
        self.f.append_block_params_for_function_params(entry);
        self.f.switch_to_block(entry);
        let [pointers, row_strides, column_strides, rows, columns, index] = self.parameters(entry);
        let operands = self.kernel.loads.len() + self.kernel.stores.len();
        let bases: Vec<Value> = (0..operands).map(|n| self.word(pointers, n)).collect();
        let row_steps: Vec<Value> = (0..operands).map(|n| self.word(row_strides, n)).collect();
        let column_steps: Vec<Value> = (0..operands)
            .map(|n| self.word(column_strides, n))
            .collect();
        let (row, done) = (self.f.create_block(), self.f.create_block());
        let number = self.f.append_block_param(row, I64);
        let row_pointers: Vec<Value> = (0..operands)
            .map(|_| self.f.append_block_param(row, I64))
            .collect();
        let zero = self.f.ins().iconst(I64, 0);
        let mut args = vec![BlockArg::from(zero)];
        args.extend(bases.iter().map(|&b| BlockArg::from(b)));
        let any = self.f.ins().icmp_imm_s(IntCC::SignedGreaterThan, rows, 0);
        self.f.ins().brif(any, row, &args, done, &[]);
        self.f.switch_to_block(row);
        let splats = self.splats(&row_pointers);
        let state = Row {
            pointers: row_pointers.clone(),
            splats,
            place: number,
        };
        self.columns(&state, &column_steps, columns, index);
        let next = self.f.ins().iadd_imm_s(number, 1);
        let mut args = vec![next.into()];
        for (pointer, step) in row_pointers.iter().zip(&row_steps) {
            let moved = self.f.ins().iadd(*pointer, *step);
            args.push(moved.into());
        }
        let more = self.f.ins().icmp(IntCC::SignedLessThan, next, rows);
        self.f.ins().brif(more, row, &args, done, &[]);
        self.f.switch_to_block(done);
        self.f.ins().return_(&[]);
    }

    fn parameters(&mut self, entry: Block) -> [Value; 6] {
        let values = self.f.block_params(entry);
        std::array::from_fn(|i| values[i])
    }

    fn word(&mut self, base: Value, n: usize) -> Value {
        self.f
            .ins()
            .load(I64, MemFlagsData::trusted(), base, (n * 8) as i32)
    }

    fn splats(&mut self, pointers: &[Value]) -> Vec<Option<Value>> {
        let kernel = self.kernel;
        let splat = |(n, load): (usize, &mmh_lower::kernel::Load)| {
            (load.pattern == Pattern::Splat).then(|| self.scalar_load(load.dtype, pointers[n]))
        };
        kernel.loads.iter().enumerate().map(splat).collect()
    }

    fn columns(&mut self, row: &Row, steps: &[Value], columns: Value, index: Value) {
        let zero = self.f.ins().iconst(I64, 0);
        let start = if self.lanes > 1 {
            self.column_loop(row, steps, zero, columns, index, self.lanes)
        } else {
            zero
        };
        self.column_loop(row, steps, start, columns, index, 1);
    }

    /// Runs while a whole vector is left; gives the first column that is left over.
    fn column_loop(
        &mut self,
        row: &Row,
        steps: &[Value],
        start: Value,
        columns: Value,
        index: Value,
        lanes: usize,
    ) -> Value {
        let (body, after) = (self.f.create_block(), self.f.create_block());
        let column = self.f.append_block_param(body, I64);
        let left = self.f.append_block_param(after, I64);
        let end = self.f.ins().iadd_imm_s(start, lanes as i64);
        let fits = self
            .f
            .ins()
            .icmp(IntCC::SignedLessThanOrEqual, end, columns);
        self.f
            .ins()
            .brif(fits, body, &[start.into()], after, &[start.into()]);
        self.f.switch_to_block(body);
        Body {
            e: self,
            row,
            steps,
            column,
            index,
            lanes,
        }
        .run();
        let next = self.f.ins().iadd_imm_s(column, lanes as i64);
        let end = self.f.ins().iadd_imm_s(next, lanes as i64);
        let more = self
            .f
            .ins()
            .icmp(IntCC::SignedLessThanOrEqual, end, columns);
        self.f
            .ins()
            .brif(more, body, &[next.into()], after, &[next.into()]);
        self.f.switch_to_block(after);
        left
    }

    /// One element: f32, i32, or a truth value as I8 0 or 1.
    fn scalar_load(&mut self, dtype: Element, pointer: Value) -> Value {
        let flags = MemFlagsData::trusted();
        match dtype {
            Element::F32 => self.f.ins().load(F32, flags, pointer, 0),
            Element::I32 => self.f.ins().load(I32, flags, pointer, 0),
            Element::U8 => {
                let byte = self.f.ins().load(I8, flags, pointer, 0);
                self.f.ins().uextend(I32, byte)
            }
            Element::Bool => self.f.ins().load(I8, flags, pointer, 0),
            Element::Bf16 => {
                let half = self.f.ins().load(I16, flags, pointer, 0);
                let word = self.f.ins().uextend(I32, half);
                let bits = self.f.ins().ishl_imm_u(word, 16);
                self.f.ins().bitcast(F32, little(), bits)
            }
        }
    }
}

/// How vectors are read as others: the first lane lies lowest.
fn little() -> MemFlagsData {
    MemFlagsData::new().with_endianness(Endianness::Little)
}

/// One pass of the body over one vector or one element.
struct Body<'e, 'a, 'f, 'r> {
    e: &'e mut Emitter<'a, 'f>,
    row: &'r Row,
    steps: &'r [Value],
    column: Value,
    index: Value,
    lanes: usize,
}

impl Body<'_, '_, '_, '_> {
    fn wide(&self) -> bool {
        self.lanes > 1
    }

    fn float(&self) -> Type {
        if self.wide() { F32X4 } else { F32 }
    }

    fn int(&self) -> Type {
        if self.wide() { I32X4 } else { I32 }
    }

    fn run(&mut self) {
        let kernel = self.e.kernel;
        let mut values: Vec<Value> = Vec::with_capacity(kernel.body.len());
        for instr in &kernel.body {
            let value = self.instr(*instr, &values);
            values.push(value);
        }
        for (n, store) in kernel.stores.iter().enumerate() {
            self.store(
                kernel.loads.len() + n,
                store,
                values[store.value.0 as usize],
                kernel.kind(store.value),
            );
        }
    }

    fn choose(&mut self, cc: FloatCC, a: Value, b: Value) -> Value {
        let mask = self.e.f.ins().fcmp(cc, a, b);
        self.select(mask, a, b)
    }

    fn select(&mut self, mask: Value, a: Value, b: Value) -> Value {
        if !self.wide() {
            return self.e.f.ins().select(mask, a, b);
        }
        let ty = self.e.f.func.dfg.value_type(a);
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        let mask = if ty == I32X4 {
            mask
        } else {
            self.e.f.ins().bitcast(ty, flags, mask)
        };
        self.e.f.ins().bitselect(mask, a, b)
    }

    fn place(&mut self, axis: u8) -> Value {
        let flags = MemFlagsData::trusted();
        let base = self
            .e
            .f
            .ins()
            .load(I32, flags, self.index, i32::from(axis) * 4);
        let moving = match axis {
            0 => Some(self.row.place),
            1 => Some(self.column),
            _ => None,
        };
        let first = match moving {
            Some(place) => {
                let place = self.e.f.ins().ireduce(I32, place);
                self.e.f.ins().iadd(base, place)
            }
            None => base,
        };
        if !self.wide() {
            return first;
        }
        let mut vector = self.e.f.ins().splat(I32X4, first);
        if axis == 1 {
            for lane in 1..4u8 {
                let place = self.e.f.ins().iadd_imm_s(first, i64::from(lane));
                vector = self.e.f.ins().insertlane(vector, place, lane);
            }
        }
        vector
    }

    fn constant(&mut self, bits: u32) -> Value {
        let scalar = self.e.f.ins().f32const(Ieee32::with_bits(bits));
        if self.wide() {
            self.e.f.ins().splat(F32X4, scalar)
        } else {
            scalar
        }
    }

    fn parameter(&mut self, n: u8) -> Value {
        let offset = (PLACES as i32 + i32::from(n)) * 4;
        let scalar = self
            .e
            .f
            .ins()
            .load(F32, MemFlagsData::trusted(), self.index, offset);
        if self.wide() {
            self.e.f.ins().splat(F32X4, scalar)
        } else {
            scalar
        }
    }

    fn integer(&mut self, n: i32) -> Value {
        let scalar = self.e.f.ins().iconst(I32, i64::from(n.cast_unsigned()));
        if self.wide() {
            self.e.f.ins().splat(I32X4, scalar)
        } else {
            scalar
        }
    }

    fn not(&mut self, mask: Value) -> Value {
        if self.wide() {
            self.e.f.ins().bnot(mask)
        } else {
            self.e.f.ins().bxor_imm_u(mask, 1)
        }
    }

    fn instr(&mut self, instr: Instr, values: &[Value]) -> Value {
        let v = |r: Reg| values[r.0 as usize];
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        let (float, int) = (self.float(), self.int());
        match instr {
            Instr::Load(n) => self.load(n as usize),
            Instr::Index(axis) => self.place(axis),
            Instr::F32(bits) => self.constant(bits),
            Instr::Param(n) => self.parameter(n),
            Instr::I32(n) => self.integer(n),
            Instr::Add(a, b) => self.e.f.ins().fadd(v(a), v(b)),
            Instr::Sub(a, b) => self.e.f.ins().fsub(v(a), v(b)),
            Instr::Mul(a, b) => self.e.f.ins().fmul(v(a), v(b)),
            Instr::Div(a, b) => self.e.f.ins().fdiv(v(a), v(b)),
            Instr::Fma(a, b, c) => self.e.f.ins().fma(v(a), v(b), v(c)),
            Instr::Neg(a) => self.e.f.ins().fneg(v(a)),
            Instr::Abs(a) => self.e.f.ins().fabs(v(a)),
            Instr::Sqrt(a) => self.e.f.ins().sqrt(v(a)),
            Instr::Min(a, b) => self.choose(FloatCC::LessThan, v(a), v(b)),
            Instr::Max(a, b) => self.choose(FloatCC::GreaterThan, v(a), v(b)),
            Instr::Lt(a, b) => self.e.f.ins().fcmp(FloatCC::LessThan, v(a), v(b)),
            Instr::Le(a, b) => self.e.f.ins().fcmp(FloatCC::LessThanOrEqual, v(a), v(b)),
            Instr::Eq(a, b) => self.e.f.ins().fcmp(FloatCC::Equal, v(a), v(b)),
            Instr::Ne(a, b) => self.e.f.ins().fcmp(FloatCC::NotEqual, v(a), v(b)),
            Instr::Select(c, a, b) | Instr::SelectI(c, a, b) => self.select(v(c), v(a), v(b)),
            Instr::AndB(a, b) | Instr::IAnd(a, b) => self.e.f.ins().band(v(a), v(b)),
            Instr::OrB(a, b) | Instr::IOr(a, b) => self.e.f.ins().bor(v(a), v(b)),
            Instr::NotB(a) => self.not(v(a)),
            Instr::Bits(a) => self.e.f.ins().bitcast(int, flags, v(a)),
            Instr::FromBits(a) => self.e.f.ins().bitcast(float, flags, v(a)),
            Instr::IAdd(a, b) => self.e.f.ins().iadd(v(a), v(b)),
            Instr::ISub(a, b) => self.e.f.ins().isub(v(a), v(b)),
            Instr::IMul(a, b) => self.e.f.ins().imul(v(a), v(b)),
            Instr::IXor(a, b) => self.e.f.ins().bxor(v(a), v(b)),
            Instr::Shl(a, n) => self.e.f.ins().ishl_imm_u(v(a), i64::from(n)),
            Instr::Shr(a, n) => self.e.f.ins().ushr_imm_u(v(a), i64::from(n)),
            Instr::Sar(a, n) => self.e.f.ins().sshr_imm_u(v(a), i64::from(n)),
            Instr::ILt(a, b) => self.e.f.ins().icmp(IntCC::SignedLessThan, v(a), v(b)),
            Instr::IEq(a, b) => self.e.f.ins().icmp(IntCC::Equal, v(a), v(b)),
            Instr::IUlt(a, b) => self.e.f.ins().icmp(IntCC::UnsignedLessThan, v(a), v(b)),
            Instr::ToInt(a) => self.e.f.ins().fcvt_to_sint_sat(int, v(a)),
            Instr::ToFloat(a) => self.e.f.ins().fcvt_from_sint(float, v(a)),
        }
    }
}
