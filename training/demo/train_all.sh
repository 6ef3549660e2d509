#!/usr/bin/env bash
# Train all demo models into a folder: training/demo/train_all.sh DIR [minutes per VAE] [minutes per transformer model]
# Takes one GPU or two. A call trains in pieces of at most 8.5 minutes: VAEs, transformers, and then the decoders alone.
# Call it again until it says that all is finished; every part goes on from its last checkpoint.
set -euo pipefail
dir=$1 vae=${2:-5} transformer=${3:-15}
python=${PYTHON:-python3}
export PYTHONPATH=src:. PYTHONUNBUFFERED=1
last=$(($($python -c 'import torch; print(torch.cuda.device_count())') - 1))

# piece GPU NAME PROGRAM ARGUMENTS...
piece() {
  CUDA_VISIBLE_DEVICES=$1 $python -m "training.demo.$3" "${@:4}" --out "$dir" --piece-minutes 8.5 > "$dir/$2.log" 2>&1
}

# sharpen GPU VAE MINUTES: its decoder, once the whole is trained
sharpen() {
  ! grep -q '"finished": true' "$dir/$2.log" ||
    piece "$1" "$2-decoder" train_vae "${2#vae-}" --decoder-only --minutes "$3"
}

mkdir -p "$dir"
[ -f "$dir/text_encoder.safetensors" ] || $python -m training.demo.train_text "$dir"

piece 0 vae-2.1 train_vae 2.1 --minutes "$vae" &
piece "$last" vae-2.2 train_vae 2.2 --minutes "$vae" &
wait
piece 0 t2v train_transformer t2v --minutes "$transformer" &
piece "$last" i2v train_transformer i2v --minutes "$transformer" --clips 24576 &
piece "$last" ti2v train_transformer ti2v --minutes "$transformer" &
wait

sharpen 0 vae-2.1 5.5 &
sharpen "$last" vae-2.2 2.8 &
wait

unfinished=$(grep --files-without-match '"finished": true' "$dir"/*.log || true)
[ -z "$unfinished" ] && echo "all is finished" || echo "not finished, call again: $unfinished"
