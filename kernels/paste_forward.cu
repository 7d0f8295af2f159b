// out = image, then slot after slot laid over it. One launch; a block makes 64 x 16 pixels (64 x 32 of two bytes).
//
// Bytes, B = 256, N = 3, 256 x 256, float32: 201 MB in and 201 MB out, exactly a copy. The texels of parts of 40..120
// pixels add at most 20 MB and mostly stay in L2. So the limit is the copy, and the design is about latency:
// - A thread asks for its pixels (three 16-byte loads) BEFORE its block reads part -> table, so both waits overlap.
// - At <= 64 registers four blocks (1024 threads) share an SM: up to 48 KB of loads in flight. Reads at half of
//   4.3 TB/s, 700 ns away, need 11 KB per SM; a block that spends a quarter of its life waiting for them is enough.
// - A thread asks for the texels of four pixels (two where it has eight) before it blends the first of them.
// - Arithmetic: ~100 instructions per covered pixel and slot (benchmarks/kernel_counts.py counts them), about 30 % of
//   all pixels at N = 3, is under a fifth of the copy's time. So -fmad=false, which gives the CPU's bits, costs nothing
//   that can be seen. No branches: a pixel outside a slot samples its block's transparent corner, and keeps its bits.
// Parts are culled per warp (32 x 4 pixels): one lane tests one slot, a ballot makes the mask, an empty mask is a copy.
#include "paste_tile.cuh"

namespace asda {

// Two-byte results go by eight, so that a channel of a thread is 16 bytes as well.
template <class Out> struct ForwardPixels {
    static constexpr int PX = sizeof(Out) == 2 ? 8 : 4;
};

template <class S, class Out, int PX, bool STAGED> struct ForwardShared {
    Slots<S> slots;
};
template <class S, class Out, int PX> struct ForwardShared<S, Out, PX, true> {
    Slots<S> slots;
    uint4 stage[WARPS][TILE * PX * 3 * sizeof(Out) / 16]; // one warp's tile, [PX, TILE, 3]
};

template <class Image, bool IMAGE_NHWC, class Out, bool OUT_NHWC, bool WIDE>
__device__ void paste_forward_block(const Paste<typename Compute<Out>::type> &p) {
    typedef typename Compute<Out>::type S;
    constexpr int PX = ForwardPixels<Out>::PX;
    // Pixels whose texels are in flight at once: as many as the registers bear.
    constexpr int FETCH = PX == 4 && sizeof(S) == 4 ? 4 : 2;
    typedef Tile<S, PX, WIDE> Tile;
    typedef ForwardShared<S, Out, PX, OUT_NHWC && WIDE> Shared;
    ASDA_SHARED(Shared, shared);

    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const long long image = blockIdx.x / (unsigned)p.tiles; // [B]
    const int block = blockIdx.x % (unsigned)p.tiles;
    const int left = (block % p.across * 2 + warp % 2) * TILE; // two warps across, four down
    const int top = (block / p.across * (WARPS / 2) + warp / 2) * Tile::ROWS;
    const unsigned plane = unsigned(p.height) * unsigned(p.width);
    const long long start = image * 3 * plane; // of the image, in elements

    Tile tile(p, left, top, lane);
    const unsigned first = unsigned(tile.y) * unsigned(p.width) + unsigned(tile.x);
    Pixels<Image, PX, IMAGE_NHWC, WIDE> in;
    in.load((const Image *)p.image + start, first, plane, tile.count, Tile::STEP);

    prepare(shared.slots, p, image, block == 0);
    tile.find(shared.slots, left, top, lane);

    S pixel[PX][3];
#pragma unroll
    for (int i = 0; i < PX; ++i)
#pragma unroll
        for (int c = 0; c < 3; ++c) {
            pixel[i][c] = WIDE || i < tile.count ? S(in.get(i, c)) : S(0);
            if (sizeof(Image) == 1)
                pixel[i][c] = pixel[i][c] * p.colour.scale[c] - p.colour.offset[c];
        }

    for (unsigned left_over = tile.mask; left_over; left_over &= left_over - 1) {
        const Placed<S> &slot = shared.slots.slot[__ffs(left_over) - 1];
#pragma unroll
        for (int first_of = 0; first_of < PX; first_of += FETCH) {
            Taps<S> taps[FETCH];
            bool inside[FETCH];
#pragma unroll
            for (int i = 0; i < FETCH; ++i) {
                S u, v;
                inside[i] = locate(slot, tile.centre_x(first_of + i), tile.centre_y(), u, v);
                taps[i] = fetch(slot.block, slot.stride, inside[i] ? u : S(0), inside[i] ? v : S(0));
            }
#pragma unroll
            for (int i = 0; i < FETCH; ++i) {
                S laid[3] = {pixel[first_of + i][0], pixel[first_of + i][1], pixel[first_of + i][2]};
                paste_taps(laid, taps[i], p.colour);
#pragma unroll
                for (int c = 0; c < 3; ++c)
                    pixel[first_of + i][c] = inside[i] ? laid[c] : pixel[first_of + i][c];
            }
        }
    }

    Out *const out = (Out *)p.out + start;
    if constexpr (!WIDE) {
#pragma unroll
        for (int i = 0; i < PX; ++i)
            if (i < tile.count) {
#pragma unroll
                for (int c = 0; c < 3; ++c) {
                    const unsigned at = first + i * Tile::STEP;
                    out[OUT_NHWC ? at * 3u + c : c * plane + at] = Narrow<Out>::store(pixel[i][c]);
                }
            }
    } else if constexpr (!OUT_NHWC) {
        if (tile.count > 0) { // the braces matter: a pragma right after an `if` is not the loop's
#pragma unroll
            for (int c = 0; c < 3; ++c) {
                unsigned word[PX * sizeof(Out) / 4];
#pragma unroll
                for (int i = 0; i < PX; ++i)
                    set_element(word, i, Narrow<Out>::store(pixel[i][c]));
                store_words<PX * sizeof(Out)>(out + c * plane + first, word);
            }
        }
    } else {
        // A thread's PX interleaved pixels are 48 bytes: stored directly, every access of the warp would touch half
        // sectors. Through shared memory (stride 48 bytes: no bank conflict) each store is 512 contiguous bytes.
        constexpr int WORDS = PX * 3 * sizeof(Out) / 4;
        unsigned word[WORDS];
#pragma unroll
        for (int i = 0; i < PX; ++i)
#pragma unroll
            for (int c = 0; c < 3; ++c)
                set_element(word, i * 3 + c, Narrow<Out>::store(pixel[i][c]));
#pragma unroll
        for (int i = 0; i < WORDS / 4; ++i)
            shared.stage[warp][lane * (WORDS / 4) + i] =
                make_uint4(word[4 * i], word[4 * i + 1], word[4 * i + 2], word[4 * i + 3]);
        __syncwarp();
        constexpr int ROW = TILE * 3 * sizeof(Out) / 16; // 16-byte chunks per row of the tile
        static_assert(PX * ROW % 32 == 0, "every chunk of the tile has its lane");
        const int inside = (p.width - left) * 3 * int(sizeof(Out)) / 16;
#pragma unroll
        for (int i = 0; i < PX * ROW / 32; ++i) {
            const int chunk = i * 32 + lane, row = chunk / ROW, column = chunk % ROW;
            if (top + row < p.height && column < inside)
                __stcg((uint4 *)(out + ((long long)(top + row) * p.width + left) * 3) + column,
                       shared.stage[warp][chunk]);
        }
    }
}

} // namespace asda

// The types of one module, chosen by asda_fast/ops/paste_cuda.py.
constexpr int FORWARD_RESIDENT = sizeof(ASDA_OUT) == 8 ? 2 : 4; // blocks per SM, for which the registers must do
extern "C" __global__ void __launch_bounds__(asda::THREADS, FORWARD_RESIDENT)
    paste_forward(const asda::Paste<asda::Compute<ASDA_OUT>::type> p) {
    asda::paste_forward_block<ASDA_IMAGE, ASDA_IMAGE_NHWC, ASDA_OUT, ASDA_OUT_NHWC, ASDA_WIDE>(p);
}
