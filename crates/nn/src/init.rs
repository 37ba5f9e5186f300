//! How a model starts. Every tensor draws from its own counter-based stream, so a start depends on the seed alone.

use crate::{
    error::{Error, Result},
    projection::{Components, ProjectionShape},
};
use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use faer::{Mat, MatRef};
use learngene_data::{Purpose, Stream};
use serde::{Deserialize, Serialize};

/// How factors start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactorInit {
    /// Orthonormal U and V and one constant sigma, such that an active weight `W_G + W_T` has the Frobenius norm a
    /// Xavier-uniform matrix has on average.
    #[default]
    Orthogonal,
    /// The thin SVD of a Xavier-uniform draw, its components shuffled before they are dealt out (in sorted order the
    /// last tailors would get next to nothing) and scaled like [`FactorInit::Orthogonal`].
    Svd,
    /// Learngene as in [`FactorInit::Orthogonal`]; tailors with U = 0, so that they change nothing until trained.
    ZeroStart,
}

/// The source of every starting value.
pub(crate) struct Init {
    seed: u64,
    next: u64,
    factors: FactorInit,
    device: Device,
    /// Whether everything is zero, because all of it will be replaced.
    blank: bool,
}

/// The factors of one matrix while they are dealt out.
pub(crate) struct Factors {
    outputs: usize,
    inputs: usize,
    sigma: f32,
    /// Orthonormal columns that tailors stay orthogonal to, for U (`[m, N_G]`) and V (`[n, N_G]`).
    taken: Option<(Mat<f64>, Mat<f64>)>,
    /// Shuffled components of an SVD that wait to be dealt out.
    pool: Vec<(Vec<f32>, f32, Vec<f32>)>,
}

impl Init {
    pub fn new(seed: u64, factors: FactorInit, device: &Device) -> Self {
        Self {
            seed,
            next: 0,
            factors,
            device: device.clone(),
            blank: false,
        }
    }

    /// A source of zeros, for a model whose parameters will all be replaced: nothing is drawn, and no memory is taken.
    pub fn blank(device: &Device) -> Self {
        Self {
            blank: true,
            ..Self::fixed(0, device)
        }
    }

    /// A source for what no run trains: the same for the same seed, whatever else is drawn.
    pub fn fixed(seed: u64, device: &Device) -> Self {
        Self::new(seed, FactorInit::ZeroStart, device)
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    pub fn tailors(&self) -> FactorInit {
        self.factors
    }

    fn stream(&mut self) -> Stream {
        self.next += 1;
        Stream::new(self.seed, self.next, Purpose::Init)
    }

    fn param<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::from_data(
            TensorData::new(values, shape),
            &self.device,
        ))
    }

    /// `[m, n]`, Xavier uniform (Glorot & Bengio 2010).
    pub fn xavier(&mut self, m: usize, n: usize) -> Param<Tensor<2>> {
        if self.blank {
            return self.zeros([m, n]);
        }
        let values = self.xavier_values(m, n);
        self.param(values, [m, n])
    }

    fn xavier_values(&mut self, m: usize, n: usize) -> Vec<f32> {
        let bound = (6.0 / (m + n) as f64).sqrt();
        let mut stream = self.stream();
        (0..m * n)
            .map(|_| ((2.0 * stream.uniform() - 1.0) * bound) as f32)
            .collect()
    }

    /// Normal values with that standard deviation.
    pub fn normal<const D: usize>(&mut self, shape: [usize; D], std: f32) -> Param<Tensor<D>> {
        if self.blank {
            return self.zeros(shape);
        }
        let mut values = vec![0.0; shape.iter().product()];
        self.stream().fill_normal(&mut values);
        values.iter_mut().for_each(|v| *v *= std);
        self.param(values, shape)
    }

    /// Kaiming uniform for a leaky ReLU of slope sqrt(5) (He et al., arXiv 1502.01852), as PyTorch starts convolutions and PEFT factors:
    /// within `1 / sqrt(fan_in)` of zero.
    pub fn kaiming<const D: usize>(
        &mut self,
        shape: [usize; D],
        fan_in: usize,
    ) -> Param<Tensor<D>> {
        if self.blank {
            return self.zeros(shape);
        }
        let bound = 1.0 / (fan_in as f64).sqrt();
        let mut stream = self.stream();
        let draw = |_| ((2.0 * stream.uniform() - 1.0) * bound) as f32;
        let values = (0..shape.iter().product()).map(draw).collect();
        self.param(values, shape)
    }

    /// One value everywhere.
    pub fn full<const D: usize>(&self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::full(shape, value, &self.device))
    }

    /// Zeros.
    pub fn zeros<const D: usize>(&self, shape: [usize; D]) -> Param<Tensor<D>> {
        let zeros = match self.blank {
            // One zero that is seen everywhere.
            true => Tensor::<D>::zeros([1; D], &self.device).expand(shape),
            false => Tensor::zeros(shape, &self.device),
        };
        Param::from_tensor(zeros)
    }

    /// Starts the factors of an `m x n` matrix of which `active` components are on at a time.
    pub fn factors(&mut self, m: usize, n: usize, active: usize) -> Factors {
        // E |W|_F^2 of Xavier uniform is m n * 2 / (m + n); R orthonormal components give R sigma^2.
        let energy = 2.0 * (m * n) as f64 / (m + n) as f64;
        let sigma = (energy / active.max(1) as f64).sqrt() as f32;
        Factors {
            outputs: m,
            inputs: n,
            sigma,
            taken: None,
            pool: Vec::new(),
        }
    }

    /// The learngene's components.
    pub fn learngene(&mut self, factors: &mut Factors, rank: usize) -> Result<Components> {
        if self.blank {
            return Ok(self.no_components(factors, rank));
        }
        if self.factors == FactorInit::Svd {
            return self.deal(factors, rank);
        }
        let u = self.orthonormal(factors.outputs, rank);
        let v = self.orthonormal(factors.inputs, rank);
        let components = self.components(u.as_ref(), v.as_ref(), factors.sigma);
        factors.taken = Some((u, v));
        Ok(components)
    }

    /// One trained-from-the-start tailor per group, each orthonormal in itself and to the learngene.
    pub fn full_tailors(
        &mut self,
        shape: &ProjectionShape,
        factors: &mut Factors,
    ) -> Result<Option<Components>> {
        let (rank, groups) = (shape.tailor_rank, shape.groups);
        if rank * groups == 0 {
            return Ok(None);
        }
        if self.factors == FactorInit::Svd {
            return self.deal(factors, rank * groups).map(Some);
        }
        let basis = factors.taken.as_ref();
        let u = self.orthonormal_blocks(factors.outputs, rank, groups, basis.map(|t| t.0.as_ref()));
        let v = self.orthonormal_blocks(factors.inputs, rank, groups, basis.map(|t| t.1.as_ref()));
        Ok(Some(self.components(u.as_ref(), v.as_ref(), factors.sigma)))
    }

    /// One tailor per group that adds nothing yet: U zero, V random, so that the first gradient reaches U.
    pub fn zero_tailors(
        &mut self,
        shape: &ProjectionShape,
        factors: &mut Factors,
    ) -> Result<Option<Components>> {
        let (rank, groups) = (shape.tailor_rank, shape.groups);
        if rank * groups == 0 {
            return Ok(None);
        }
        if self.blank {
            return Ok(Some(self.no_components(factors, rank * groups)));
        }
        let basis = factors.taken.as_ref().map(|t| t.1.as_ref());
        let v = self.orthonormal_blocks(factors.inputs, rank, groups, basis);
        let u = Mat::zeros(factors.outputs, rank * groups);
        Ok(Some(self.components(u.as_ref(), v.as_ref(), factors.sigma)))
    }

    /// Components from columns of U and V and one sigma.
    fn components(&self, u: MatRef<'_, f64>, v: MatRef<'_, f64>, sigma: f32) -> Components {
        let rank = u.ncols();
        let rows = |m: MatRef<'_, f64>| -> Vec<f32> {
            (0..rank)
                .flat_map(|j| (0..m.nrows()).map(move |i| m[(i, j)] as f32))
                .collect()
        };
        Components {
            u: self.param(rows(u), [rank, u.nrows()]),
            s: self.param(vec![sigma; rank], [rank]),
            v: self.param(rows(v), [rank, v.nrows()]),
        }
    }

    fn no_components(&self, factors: &Factors, rank: usize) -> Components {
        Components {
            u: self.zeros([rank, factors.outputs]),
            s: self.zeros([rank]),
            v: self.zeros([rank, factors.inputs]),
        }
    }

    fn gaussian(&mut self, rows: usize, columns: usize) -> Mat<f64> {
        let mut stream = self.stream();
        Mat::from_fn(rows, columns, |_, _| stream.normal())
    }

    /// `columns` orthonormal columns of length `rows`.
    fn orthonormal(&mut self, rows: usize, columns: usize) -> Mat<f64> {
        self.gaussian(rows, columns).qr().compute_thin_Q()
    }

    /// `groups` blocks of orthonormal columns, each block also orthogonal to `basis`.
    fn orthonormal_blocks(
        &mut self,
        rows: usize,
        rank: usize,
        groups: usize,
        basis: Option<MatRef<'_, f64>>,
    ) -> Mat<f64> {
        let mut all = self.gaussian(rows, rank * groups);
        if let Some(q) = basis {
            // Twice is enough (Giraud, Langou & Rozloznik 2005).
            for _ in 0..2 {
                let inside = q * (q.transpose() * &all);
                all -= inside;
            }
        }
        let mut blocks = Mat::zeros(rows, rank * groups);
        for g in 0..groups {
            let q = all.as_ref().subcols(g * rank, rank).qr().compute_thin_Q();
            blocks.as_mut().subcols_mut(g * rank, rank).copy_from(&q);
        }
        blocks
    }

    /// Deals out the next `count` components of shuffled SVDs of Xavier draws.
    fn deal(&mut self, factors: &mut Factors, count: usize) -> Result<Components> {
        let (m, n) = (factors.outputs, factors.inputs);
        while factors.pool.len() < count {
            let draw = self.xavier_values(m, n);
            let matrix = Mat::from_fn(m, n, |i, j| f64::from(draw[i * n + j]));
            let svd = matrix
                .thin_svd()
                .map_err(|_| Error::NoConvergence("the singular value decomposition"))?;
            let order = self.stream().permutation(m.min(n));
            let energy: f64 = (0..m.min(n)).map(|i| svd.S()[i].powi(2)).sum();
            let scale = f64::from(factors.sigma) / (energy / m.min(n) as f64).sqrt();
            factors.pool.extend(order.into_iter().map(|i| {
                let u = (0..m).map(|row| svd.U()[(row, i)] as f32).collect();
                let v = (0..n).map(|row| svd.V()[(row, i)] as f32).collect();
                (u, (svd.S()[i] * scale) as f32, v)
            }));
        }
        let dealt: Vec<_> = factors.pool.drain(..count).collect();
        let u = dealt.iter().flat_map(|c| c.0.iter().copied()).collect();
        let s = dealt.iter().map(|c| c.1).collect();
        let v = dealt.iter().flat_map(|c| c.2.iter().copied()).collect();
        Ok(Components {
            u: self.param(u, [count, m]),
            s: self.param(s, [count]),
            v: self.param(v, [count, n]),
        })
    }
}
