//! A bias of attention's scores by how far apart two tokens are, in buckets (Raffel et al. 2020, section 2.1).

/// One learnt value for each bucket and head, added to `query · key / √d` before the softmax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelativeBias {
    /// Half of them are for keys after the query.
    pub buckets: usize,
    /// The least distance of the last bucket, at most: all that are further share it.
    pub max_distance: usize,
}

impl RelativeBias {
    /// The bucket of a key `offset` tokens after the query (before it where negative). Each of the nearest
    /// `buckets / 4` distances has its own; beyond, buckets widen as powers of the distance.
    pub fn bucket(&self, offset: isize) -> usize {
        let half = self.buckets / 2;
        let (distance, exact) = (offset.unsigned_abs(), half / 2);
        let first = if offset > 0 { half } else { 0 };
        if distance < exact {
            return first + distance;
        }
        // log(distance / exact) / log(max_distance / exact) · (half − exact), rounded down, by whole numbers where the
        // quotient is one: in f32, the boundaries would hang on how a logarithm is rounded.
        let widths = (half - exact) as i32;
        let reached = |bucket: i32| {
            let (d, e, m) = (distance as f64, exact as f64, self.max_distance as f64);
            (d / e).powi(widths) >= (m / e).powi(bucket)
        };
        let wide = (1..widths).take_while(|&bucket| reached(bucket)).count();
        first + exact + wide
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As transformers' `MPNetEncoder.relative_position_bucket` has them: where each bucket begins.
    #[test]
    fn buckets_begin_where_transformers_has_them() {
        let bias = RelativeBias { buckets: 32, max_distance: 128 };
        let begins = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91];
        for distance in 0..600 {
            let expected = begins.iter().filter(|&&begin| begin <= distance).count() - 1;
            assert_eq!(bias.bucket(-distance), expected, "{distance} before");
            let after = if distance == 0 { 0 } else { 16 + expected };
            assert_eq!(bias.bucket(distance), after, "{distance} after");
        }
    }
}
