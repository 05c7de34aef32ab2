//! Products of matrices, by cuBLASLt. Ours are row-major; cuBLASLt sees their transposes, column by column.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::cublas;
use candle_core::cuda_backend::cudarc::cublaslt::result::{self, CublasError};
use candle_core::cuda_backend::cudarc::cublaslt::sys::{
    self, cublasLtEpilogue_t, cublasLtMatmulDescAttributes_t as Attribute,
    cublasLtMatmulPreferenceAttributes_t as Preference, cublasStatus_t, cudaDataType,
};
use candle_core::cuda_backend::cudarc::driver::sys::CUdevice_attribute;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaStream, DevicePtr};
use candle_core::cuda_backend::{CudaError, WrapErr};
use candle_core::{DType, Error, Result};

use super::pointer::{Element, Pointer};

/// cuBLASLt on one stream.
#[derive(Debug)]
pub struct Products {
    handle: sys::cublasLtHandle_t,
    workspace: CudaSlice<u8>,
    stream: Arc<CudaStream>,
    plans: Mutex<HashMap<Shape, Plan>>,
}

// SAFETY: cuBLASLt's functions may be called from any thread with one handle, and plans are behind a lock.
unsafe impl Send for Products {}
// SAFETY: as above.
unsafe impl Sync for Products {}

/// A row-major matrix, or its transpose, as a factor.
#[derive(Clone, Copy)]
pub struct Factor<T> {
    pub values: Pointer<T>,
    /// Of the matrix as it lies.
    pub columns: usize,
    pub transposed: bool,
}

impl<T> Factor<T> {
    pub fn new(values: Pointer<T>, columns: usize) -> Self {
        Factor { values, columns, transposed: false }
    }

    pub fn t(self) -> Self {
        Factor { transposed: !self.transposed, ..self }
    }
}

/// What happens to the values of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Into {
    /// They are overwritten.
    Place,
    /// The product is added to them.
    Sum,
}

/// What an algorithm is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shape {
    rows: usize,
    columns: usize,
    depth: usize,
    factors: DType,
    result: DType,
    strides: [usize; 3],
    transposed: [bool; 2],
    into: Into,
    bias: bool,
    /// The largest power of two, up to 256, that divides all addresses.
    alignment: u64,
}

impl Products {
    pub fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let handle = result::create_handle().map_err(error)?;
        let major = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
        // NVIDIA's advice.
        let bytes = if stream.context().attribute(major).w()? >= 9 { 32 << 20 } else { 4 << 20 };
        // SAFETY: only cuBLASLt reads it, after it has written.
        let workspace = unsafe { stream.alloc(bytes) }.w()?;
        Ok(Products { handle, workspace, stream: stream.clone(), plans: Mutex::default() })
    }

    /// `result` `[rows, columns]` becomes, or is increased by, a · b + bias, where a is `[rows, depth]` and b
    /// `[depth, columns]`. Sums are in f32.
    pub fn multiply<T: Element, R: Element>(
        &self,
        (rows, columns, depth): (usize, usize, usize),
        a: Factor<T>,
        b: Factor<T>,
        bias: Option<Pointer<R>>,
        result: Pointer<R>,
        into: Into,
    ) -> Result<()> {
        if rows * columns * depth == 0 {
            return Ok(());
        }
        let addresses = a.values.address | b.values.address | result.address | bias.map_or(0, |b| b.address);
        let shape = Shape {
            rows,
            columns,
            depth,
            factors: T::DTYPE,
            result: R::DTYPE,
            strides: [a.columns, b.columns, columns],
            transposed: [a.transposed, b.transposed],
            into,
            bias: bias.is_some(),
            alignment: 1 << addresses.trailing_zeros().min(8),
        };
        self.stream.context().bind_to_thread().w()?;
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        // Rows differ from batch to batch; what is kept must not grow for ever.
        if plans.len() >= 4096 && !plans.contains_key(&shape) {
            plans.clear();
        }
        let plan = match plans.entry(shape) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Plan::new(self.handle, &shape, self.workspace.len()).map_err(error)?)
            }
        };
        if let Some(bias) = bias {
            plan.describe(Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias.address).map_err(error)?;
        }
        let (alpha, beta) = (1f32, if into == Into::Sum { 1f32 } else { 0f32 });
        let (workspace, _) = self.workspace.device_ptr(&self.stream);
        // SAFETY: the plan's layouts are those of matrices at these places, of which callers vouch that they are as
        // large; the factors of cuBLASLt are ours in the other order.
        unsafe {
            result::matmul(
                self.handle,
                plan.description,
                std::ptr::from_ref(&alpha).cast(),
                std::ptr::from_ref(&beta).cast(),
                b.values.address as *const c_void,
                plan.b,
                a.values.address as *const c_void,
                plan.a,
                result.address as *const c_void,
                plan.result,
                result.address as *mut c_void,
                plan.result,
                &raw const plan.algorithm,
                workspace as *mut c_void,
                self.workspace.len(),
                self.stream.cu_stream().cast(),
            )
        }
        .map_err(error)
    }
}

impl Drop for Products {
    fn drop(&mut self) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).clear();
        // SAFETY: it was made by `new`, and nothing uses it any longer.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// Descriptions of one product, and the algorithm that cuBLASLt would take.
#[derive(Debug)]
struct Plan {
    description: sys::cublasLtMatmulDesc_t,
    a: sys::cublasLtMatrixLayout_t,
    b: sys::cublasLtMatrixLayout_t,
    result: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

impl Plan {
    fn new(
        handle: sys::cublasLtHandle_t,
        shape: &Shape,
        workspace: usize,
    ) -> std::result::Result<Self, CublasError> {
        let compute = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let of = |(rows, columns): (usize, usize), transposed, stride, dtype| {
            let (rows, columns) = if transposed { (columns, rows) } else { (rows, columns) };
            debug_assert!(columns <= stride);
            result::create_matrix_layout(kind(dtype), columns as u64, rows as u64, stride as i64)
        };
        let mut plan = Plan {
            description: result::create_matmul_desc(compute, cudaDataType::CUDA_R_32F)?,
            a: of((shape.rows, shape.depth), shape.transposed[0], shape.strides[0], shape.factors)?,
            b: of((shape.depth, shape.columns), shape.transposed[1], shape.strides[1], shape.factors)?,
            result: of((shape.rows, shape.columns), false, shape.strides[2], shape.result)?,
            // SAFETY: 64 bytes of numbers, which the heuristic fills.
            algorithm: unsafe { std::mem::zeroed() },
        };
        plan.describe(Attribute::CUBLASLT_MATMUL_DESC_TRANSA, &i32::from(shape.transposed[1]))?;
        plan.describe(Attribute::CUBLASLT_MATMUL_DESC_TRANSB, &i32::from(shape.transposed[0]))?;
        if shape.bias {
            let epilogue = cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS;
            plan.describe(Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)?;
        }
        plan.algorithm = plan.best(handle, shape.alignment, workspace)?;
        Ok(plan)
    }

    fn describe<V>(&self, attribute: Attribute, value: &V) -> std::result::Result<(), CublasError> {
        // SAFETY: the description lives, and callers give the type that the attribute has.
        unsafe {
            result::set_matmul_desc_attribute(
                self.description,
                attribute,
                std::ptr::from_ref(value).cast(),
                size_of::<V>(),
            )
        }
    }

    fn best(
        &self,
        handle: sys::cublasLtHandle_t,
        alignment: u64,
        workspace: usize,
    ) -> std::result::Result<sys::cublasLtMatmulAlgo_t, CublasError> {
        let preference = result::create_matmul_pref()?;
        let set = |which, value: *const c_void, bytes| {
            // SAFETY: the preference lives until the end of this function, and `value` has so many bytes.
            unsafe { result::set_matmul_pref_attribute(preference, which, value, bytes) }
        };
        let bytes = std::ptr::from_ref(&workspace).cast();
        let aligned = alignment as u32;
        let found = set(Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, bytes, size_of::<usize>())
            .and_then(|()| {
                [
                    Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                    Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                    Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                    Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
                ]
                .into_iter()
                .try_for_each(|which| set(which, std::ptr::from_ref(&aligned).cast(), size_of::<u32>()))
            })
            // SAFETY: all of them live.
            .and_then(|()| unsafe {
                result::get_matmul_algo_heuristic(
                    handle,
                    self.description,
                    self.b,
                    self.a,
                    self.result,
                    self.result,
                    preference,
                )
            });
        // SAFETY: made above.
        unsafe { result::destroy_matmul_pref(preference) }?;
        found.map(|found| found.algo)
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and used by nothing else. What cannot be destroyed is left.
        unsafe {
            let _ = result::destroy_matmul_desc(self.description);
            for layout in [self.a, self.b, self.result] {
                let _ = result::destroy_matrix_layout(layout);
            }
        }
    }
}

fn kind(dtype: DType) -> cudaDataType {
    if dtype == DType::BF16 { cudaDataType::CUDA_R_16BF } else { cudaDataType::CUDA_R_32F }
}

/// As candle's cuBLAS reports it, so that a failure of the device is seen as one.
fn error(CublasError(status): CublasError) -> Error {
    use cublas::sys::cublasStatus_t as Plain;
    match status {
        cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED => plain(Plain::CUBLAS_STATUS_ALLOC_FAILED),
        cublasStatus_t::CUBLAS_STATUS_EXECUTION_FAILED => plain(Plain::CUBLAS_STATUS_EXECUTION_FAILED),
        status => Error::Msg(format!("cuBLASLt refuses a product: {status:?}")),
    }
}

fn plain(status: cublas::sys::cublasStatus_t) -> Error {
    CudaError::Cublas(cublas::result::CublasError(status)).into()
}
