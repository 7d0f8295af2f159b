// How a GPU walks over the pixels of `paste`: the parameters, the slots of one image, the tile of one warp.
#ifndef ASDA_PASTE_TILE_CUH
#define ASDA_PASTE_TILE_CUH
#include "paste_math.h"
#include "paste_types.cuh"

#ifndef ASDA_SHARED // one object shared by a block; the test shim has its own way to make one
#define ASDA_SHARED(type, name) __shared__ type name
#endif

namespace asda {

constexpr int WARPS = 8; // per block
constexpr int THREADS = WARPS * 32;
constexpr int MAX_SLOTS = 32; // per launch: one bit of a warp's mask each; ops/paste_cuda.py splits longer lists
constexpr int TILE = 32;      // pixels across a warp's tile, so a row of it is one 128-byte line of floats

// The one parameter of both kernels. asda_fast/ops/paste_cuda.py has the same fields in the same order.
template <class S> struct Paste {
    const void *image;      // [B, 3, H, W] or [B, H, W, 3]
    const unsigned *texels; // [T] premultiplied RGBA, one word each
    const long long *table; // [P, 4] first texel, height, width, mip levels
    const long long *part;  // [B, N]
    const S *matrix;        // [B, N, 2, 3] target -> patch pixels
    void *out;              // [B, 3, H, W] or [B, H, W, 3]
    const void *v_out;      // as out
    S *v_matrix;            // [B, N, 2, 3]
    void *v_image;          // as image
    S *partial;             // [B, strips, N, 6] scratch
    unsigned *done;         // [B] strips that have written their partial sums; 0 before and after
    // [3] host memory: slots with a bad matrix, slots with a bad part, 1 + (b << 32 | n) of the last of those
    unsigned long long *report;
    long long parts;   // P
    int batch, slots;  // B, N
    int height, width; // H, W
    int across, tiles; // forward: blocks per row of blocks, blocks per image; backward: the same of warp tiles
    int strips;        // backward: blocks per image
    int mips;          // choose mip levels
    Colour<S> colour;
};

template <class S> struct Placed : Slot<S> {
    const unsigned *block; // where its texels begin
};

template <class S> struct Slots {
    Placed<S> slot[MAX_SLOTS];
    unsigned ready; // bit n: slot n pastes something
};

// Fills the block's slots with those of one image; every thread of the block calls it, and may read them on return.
// The first block of an image (`tells`) counts the bad ones in host memory, which the host reads at a later call, so
// nobody waits.
template <class S> __device__ void prepare(Slots<S> &slots, const Paste<S> &p, long long image, bool tells) {
    const int n = threadIdx.x;
    if (n < 32) {
        SlotState state = SLOT_EMPTY;
        if (n < p.slots) {
            const long long at = image * p.slots + n;
            Placed<S> slot;
            S matrix[6];
            const volatile S *given = p.matrix + at * 6; // volatile: asked for now and not when the part is known, so
            for (int i = 0; i < 6; ++i)                  // there are two waits in a row, not three
                matrix[i] = given[i];
            state = make_slot(slot, matrix, p.part[at], p.table, p.parts, p.mips != 0);
            if (state == SLOT_READY) {
                slot.block = p.texels + slot.first;
                slots.slot[n] = slot;
            } else if (tells && state != SLOT_EMPTY) {
                atomicAdd(p.report + (state == SLOT_BAD_INDEX), 1ull);
                if (state == SLOT_BAD_INDEX)
                    atomicMax(p.report + 2, ((unsigned long long)image << 32 | unsigned(n)) + 1);
            }
        }
        const unsigned ready = __ballot_sync(~0u, state == SLOT_READY);
        if (n == 0)
            slots.ready = ready;
    }
    __syncthreads();
}

// False if no pixel centre of the rectangle [x0, x1] x [y0, y1] is in the slot's support. Exact at the borders: rounded
// multiplication and addition are monotonic, so the corners bound what `locate` computes for the pixels between them
// (without FMA contraction). Overflow and NaN count as touching; `locate` decides then.
template <class S> __device__ bool touches(const Slot<S> &slot, S x0, S y0, S x1, S y1) {
    S u[4], v[4];
    locate(slot, x0, y0, u[0], v[0]);
    locate(slot, x1, y0, u[1], v[1]);
    locate(slot, x0, y1, u[2], v[2]);
    locate(slot, x1, y1, u[3], v[3]);
    bool left = true, right = true, above = true, below = true;
    for (int i = 0; i < 4; ++i) {
        left = left & (u[i] < S(0));
        right = right & (u[i] >= slot.right);
        above = above & (v[i] < S(0));
        below = below & (v[i] >= slot.below);
    }
    return !(left | right | above | below);
}

// The tile of a warp: TILE pixels across and PX rows down, PX pixels of a row to a thread.
template <class S, int PX, bool WIDE> struct Tile {
    static constexpr int LANES = TILE / PX; // threads across
    static constexpr int ROWS = PX;
    static constexpr int STEP =
        WIDE ? 1 : LANES; // distance of a thread's pixels; strided keeps single elements coalesced
    int x, y;             // the thread's first pixel
    int count;            // its pixels inside the image
    unsigned mask;        // bit n: slot n touches this tile

    __device__ Tile(const Paste<S> &p, int left, int top, int lane) {
        x = left + (lane % LANES) * (WIDE ? PX : 1);
        y = top + lane / LANES;
        count = y < p.height && x < p.width ? (WIDE ? PX : (p.width - x + STEP - 1) / STEP) : 0;
        mask = 0;
    }
    __device__ void find(const Slots<S> &slots, int left, int top, int lane) {
        const S x = S(left) + S(0.5), y = S(top) + S(0.5); // sums of these with whole numbers are exact
        const bool near = slots.ready >> lane & 1u && touches(slots.slot[lane], x, y, x + S(TILE - 1), y + S(ROWS - 1));
        mask = __ballot_sync(~0u, near);
    }
    __device__ S centre_x(int i) const { return S(x) + (S(i * STEP) + S(0.5)); } // exact
    __device__ bool holds(int i) const { return WIDE ? count > 0 : i < count; }
    __device__ S centre_y() const { return S(y) + S(0.5); }
};

} // namespace asda
#endif
