// d loss / d matrix, and d loss / d image when asked. One launch; nothing is saved by the forward but its inputs.
//
// A part is often opaque, so out_{n-1} cannot be had by dividing; it is made again from the image upwards, and the
// transmittance of what lies above slot n (usually nothing, and 0 at the first opaque part) from the top downwards.
//
// Bytes, B = 256, N = 3, 256 x 256, float32, parts of 80 x 80: only tiles (32 x 4) under a part are read, image and
// v_out, ~3 x 9400 x 24 bytes an image, 173 MB in all against the forward's 402 MB. Blocks walk over several tiles
// each, about 1024 blocks a launch, so that a block's fixed cost (slots in, partial sums out: ~3 us) is paid three
// times per place on an SM, not once a tile; neighbouring tiles go to different warps, which spreads a part evenly. At
// <= 80 registers three blocks (24 warps) share an SM, each with 3 KB of pixels in flight: about 36 KB per us and SM.
// Four blocks (64 registers, nothing spilled) need a __syncwarp after every pixel, for 7 to 13 more instructions a
// pixel: not done, since by that count six warps a scheduler have a tile's latency covered, and instructions are what
// is left.
//
// The same bits every run: a thread adds its pixels, a warp adds its threads in a fixed tree, into its own row of
// `sums`; the block adds its warps in order and writes one partial sum per slot; the block that finishes last (an
// integer counter says so) adds the partial sums of the image in order. Which block that is does not matter. No float
// atomics.
#include "paste_tile.cuh"

namespace asda {

template <class S> struct BackwardShared {
    Slots<S> slots;
    S sums[WARPS][MAX_SLOTS * 6];
    int low[2], high[2]; // columns and rows of tiles that a slot touches: low <= k < high
    bool last;
};

// Sums six values over a warp in 9 shuffles, not 30: each step halves the values and the lanes that carry each. Returns
// sum number lane / 4 (0 for 6 and 7).
template <class S> __device__ S warp_sum(const S v[6], int lane) {
    S a[4], b[2];
    const bool high = lane & 16, middle = lane & 8, low = lane & 4;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        const S up = k < 2 ? v[k < 2 ? k + 4 : 0] : S(0);
        a[k] = (high ? up : v[k]) + __shfl_xor_sync(~0u, high ? v[k] : up, 16);
    }
#pragma unroll
    for (int k = 0; k < 2; ++k)
        b[k] = (middle ? a[k + 2] : a[k]) + __shfl_xor_sync(~0u, middle ? a[k] : a[k + 2], 8);
    S sum = (low ? b[1] : b[0]) + __shfl_xor_sync(~0u, low ? b[0] : b[1], 4);
    sum += __shfl_xor_sync(~0u, sum, 2);
    sum += __shfl_xor_sync(~0u, sum, 1);
    return sum;
}

// t[i] = product of (1 - a) over the slots of `mask` at the thread's pixel i, from the top down; 0 outside the image.
template <class S, int PX, class Tile>
__device__ void transmittance(const Slots<S> &slots, unsigned mask, const Tile &tile, S t[PX]) {
#pragma unroll
    for (int i = 0; i < PX; ++i)
        t[i] = tile.holds(i) ? S(1) : S(0);
    while (mask) {
        const int n = 31 - __clz(int(mask));
        mask &= ~(1u << n);
        const Placed<S> &slot = slots.slot[n];
#pragma unroll
        for (int i = 0; i < PX; ++i) {
            S u, v;
            const bool inside = locate(slot, tile.centre_x(i), tile.centre_y(), u, v);
            const S a = fetch_opacity(slot.block, slot.stride, inside ? u : S(0), inside ? v : S(0));
            t[i] = t[i] * (S(1) - a); // outside it is sampled where it is transparent
        }
    }
}

template <class Image, bool IMAGE_NHWC, class Out, bool OUT_NHWC, bool WIDE, bool NEED_IMAGE>
__device__ void paste_backward_block(const Paste<typename Compute<Out>::type> &p) {
    typedef typename Compute<Out>::type S;
    constexpr int PX = 4;
    typedef Tile<S, PX, WIDE> Tile;
    typedef BackwardShared<S> Shared;
    ASDA_SHARED(Shared, shared);

    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const long long image = blockIdx.x / (unsigned)p.strips; // [B]
    const int strip = blockIdx.x % (unsigned)p.strips;
    const unsigned plane = unsigned(p.height) * unsigned(p.width);
    const long long start = image * 3 * plane; // of the image, in elements

    for (int j = threadIdx.x; j < WARPS * p.slots * 6; j += THREADS)
        shared.sums[j / (p.slots * 6)][j % (p.slots * 6)] = S(0);
    const int down = p.tiles / p.across;
    if (threadIdx.x < 2) {
        const int lines = threadIdx.x ? down : p.across;
        shared.low[threadIdx.x] = NEED_IMAGE ? 0 : lines;
        shared.high[threadIdx.x] = NEED_IMAGE ? lines : 0;
    }
    prepare(shared.slots, p, image, false);

    // Only the box of tiles round all slots is walked over, unless every pixel of the image gets a gradient. A thread
    // asks for one column or row of tiles.
    if (!NEED_IMAGE) {
        for (int line = threadIdx.x; line < p.across + down; line += THREADS) {
            const int is_row = line >= p.across, k = is_row ? line - p.across : line;
            const S x = is_row ? S(0.5) : S(k * TILE) + S(0.5), y = is_row ? S(k * Tile::ROWS) + S(0.5) : S(0.5);
            const S right = is_row ? S(p.width) - S(0.5) : x + S(TILE - 1);
            const S bottom = is_row ? y + S(Tile::ROWS - 1) : S(p.height) - S(0.5);
            bool near = false;
            for (unsigned left_over = shared.slots.ready; left_over && !near; left_over &= left_over - 1)
                near = touches(shared.slots.slot[__ffs(left_over) - 1], x, y, right, bottom);
            if (near) {
                atomicMin(&shared.low[is_row], k);
                atomicMax(&shared.high[is_row], k + 1);
            }
        }
        __syncthreads();
    }
    // The image's warps take its tiles in turns, row after row of an odd number of places (the last may be no tile):
    // with an even number most warps would stay in one column, and those under a part would do all the work. The next
    // tile follows without a division. Who takes which tile, and so the bits, does not depend on the box.
    const int places = p.across | 1, warps = p.strips * WARPS;
    const int first = shared.low[1] * places / warps * warps + strip * WARPS + warp; // in the turn that meets the box
    const int step_left = warps % places * TILE, step_top = warps / places * Tile::ROWS; // in pixels
    const int end_top = shared.high[1] * Tile::ROWS;
    int next_left = first % places * TILE, next_top = first / places * Tile::ROWS;
    while (next_top < end_top) {
        const int left = next_left, top = next_top;
        next_left += step_left;
        next_top += step_top;
        if (next_left >= places * TILE) {
            next_left -= places * TILE;
            next_top += Tile::ROWS;
        }
        if (left < shared.low[0] * TILE || left >= shared.high[0] * TILE)
            continue;
        Tile tile(p, left, top, lane);
        tile.find(shared.slots, left, top, lane);
        if (!NEED_IMAGE && !tile.mask)
            continue;
        const unsigned pixel_at = unsigned(tile.y) * unsigned(p.width) + unsigned(tile.x);
        Pixels<Out, PX, OUT_NHWC, WIDE> v_out;
        v_out.load((const Out *)p.v_out + start, pixel_at, plane, tile.count, Tile::STEP);
        if (tile.mask) {
            Pixels<Image, PX, IMAGE_NHWC, WIDE> in;
            in.load((const Image *)p.image + start, pixel_at, plane, tile.count, Tile::STEP);
            S pixel[PX][3]; // what slot n is laid over
#pragma unroll
            for (int i = 0; i < PX; ++i)
#pragma unroll
                for (int c = 0; c < 3; ++c) {
                    pixel[i][c] = WIDE || i < tile.count ? S(in.get(i, c)) : S(0);
                    if (sizeof(Image) == 1)
                        pixel[i][c] = pixel[i][c] * p.colour.scale[c] - p.colour.offset[c];
                }
            for (unsigned left_over = tile.mask; left_over; left_over &= left_over - 1) {
                const int n = __ffs(left_over) - 1;
                const unsigned above = left_over & (left_over - 1);
                const Placed<S> &slot = shared.slots.slot[n];
                S t[PX];
                transmittance<S, PX>(shared.slots, above, tile, t);
                S v_u = S(0), v_ux = S(0), v_v = S(0), v_vx = S(0); // sums over the thread's pixels, which share y
#pragma unroll
                for (int i = 0; i < PX; ++i) {
                    if (i == PX / 2)
                        __syncwarp(); // so that half of the texels are asked for later: 80 registers do not bear all
                    const S x = tile.centre_x(i);
                    S u, v;
                    const bool inside = locate(slot, x, tile.centre_y(), u, v);
                    const Taps<S> taps = fetch(slot.block, slot.stride, inside ? u : S(0), inside ? v : S(0));
                    S value[4], du[4], dv[4];
#pragma unroll
                    for (int c = 0; c < 4; ++c)
                        value[c] = sample_grad(taps, c, du[c], dv[c]);
                    const S v_here[3] = {S(v_out.get(i, 0)), S(v_out.get(i, 1)), S(v_out.get(i, 2))};
                    S by_u, by_v;
                    paste_pixel_backward(v_here, pixel[i], du, dv, p.colour, by_u, by_v);
                    by_u = by_u * t[i];
                    by_v = by_v * t[i];
                    if (inside & (t[i] != S(0))) { // what does not count may be infinite
                        v_u += by_u;
                        v_ux += by_u * x;
                        v_v += by_v;
                        v_vx += by_v * x;
                    }
                    const S a = opacity(value[3]);
#pragma unroll
                    for (int c = 0; c < 3; ++c) // outside the sample is transparent
                        pixel[i][c] = over(pixel[i][c], value[c], a, p.colour, c);
                }
                const S y = tile.centre_y();
                const S v_m[6] = {v_ux, v_u * y, v_u, v_vx, v_v * y, v_v};
                const S sum = warp_sum(v_m, lane);
                if (lane % 4 == 0 && lane < 24)
                    shared.sums[warp][n * 6 + lane / 4] += sum;
            }
        }
        if constexpr (NEED_IMAGE) {
            // d out / d image is what all slots let through, the same for the three channels.
            Image *const v_image = (Image *)p.v_image + start;
            S through[PX];
            transmittance<S, PX>(shared.slots, tile.mask, tile, through);
            if constexpr (WIDE) {
                constexpr int PACK = PX * int(sizeof(Image));
                unsigned word[3 * PACK / 4];
#pragma unroll
                for (int e = 0; e < 3 * PX; ++e) {
                    const int i = IMAGE_NHWC ? e / 3 : e % PX, c = IMAGE_NHWC ? e % 3 : e / PX;
                    set_element(word, e, Narrow<Image>::store(S(v_out.get(i, c)) * through[i]));
                }
                if (tile.count > 0) {
                    if (IMAGE_NHWC) {
                        store_words<3 * PACK>(v_image + pixel_at * 3u, word);
                    } else {
#pragma unroll
                        for (int c = 0; c < 3; ++c)
                            store_words<PACK>(v_image + c * plane + pixel_at, word + c * PACK / 4);
                    }
                }
            } else {
#pragma unroll
                for (int i = 0; i < PX; ++i)
                    if (i < tile.count) {
#pragma unroll
                        for (int c = 0; c < 3; ++c) {
                            const unsigned at = pixel_at + i * Tile::STEP;
                            v_image[IMAGE_NHWC ? at * 3u + c : c * plane + at] =
                                Narrow<Image>::store(S(v_out.get(i, c)) * through[i]);
                        }
                    }
            }
        }
    }
    __syncthreads();

    S *const partial = p.partial + image * p.strips * p.slots * 6;
    for (int j = threadIdx.x; j < p.slots * 6; j += THREADS) {
        S sum = S(0);
        for (int w = 0; w < WARPS; ++w)
            sum += shared.sums[w][j];
        partial[strip * p.slots * 6 + j] = sum;
    }
    __threadfence(); // the partial sums are out before the counter says so
    __syncthreads();
    if (threadIdx.x == 0)
        shared.last = atomicAdd(p.done + image, 1u) == unsigned(p.strips - 1);
    __syncthreads();
    if (!shared.last)
        return;
    __threadfence();
    for (int j = threadIdx.x; j < p.slots * 6; j += THREADS) {
        const int n = j / 6;
        S sum = S(0);
        for (int s = 0; s < p.strips; ++s)
            sum += __ldcg(partial + s * p.slots * 6 + j); // past L1, which may hold an older copy of the line
        p.v_matrix[image * p.slots * 6 + j] =
            shared.slots.ready >> n & 1u ? sum * shared.slots.slot[n].shrink[j % 6 / 3] : S(0);
    }
    if (threadIdx.x == 0)
        p.done[image] = 0u; // ready for the next launch on this stream
}

} // namespace asda

// The types of one module, chosen by asda_fast/ops/paste_cuda.py.
constexpr int BACKWARD_RESIDENT = sizeof(ASDA_OUT) == 8 ? 1
                                  : ASDA_NEED_IMAGE     ? 2
                                                        : 3; // blocks per SM, for which the registers must do
extern "C" __global__ void __launch_bounds__(asda::THREADS, BACKWARD_RESIDENT)
    paste_backward(const asda::Paste<asda::Compute<ASDA_OUT>::type> p) {
    asda::paste_backward_block<ASDA_IMAGE, ASDA_IMAGE_NHWC, ASDA_OUT, ASDA_OUT_NHWC, ASDA_WIDE, ASDA_NEED_IMAGE>(p);
}
