#!/usr/bin/env bash
# The cheap rows of the results page by the published protocols, on one thread and at the lowest priority. Finished runs are left
# alone and unfinished ones go on, so it can be stopped and started again:
#
#   HYBRID_DATA=data HYBRID_OUTPUTS=outputs scripts/run_protocols.sh [svm] [psn] [linear] [boundary]
set -u
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1 PYTHONPATH=$PWD
seeds=207715039,491659600,493572006,737523103,827192296,877498678,1103100946,1210393663,1277404878,1377264326
hybrid() { nice -n 19 "${PYTHON:-python}" -m hybrid "$@"; }

for part in "${@:-svm psn linear boundary}"; do for each in $part; do case $each in
svm)
    for L in 6 8; do
        hybrid svm -m data=mnist model.frontend.J=3 model.frontend.L=$L data.subset.n=300,1000,5000 seed="range(10)"
    done ;;
psn)
    psn="experiment=cifar10_few_labels_psn"
    hybrid train -m $psn data.subset.n=100 trainer.batch_size=128 trainer.duration='200 epochs' optimizer.lr=0.06 seed=$seeds
    hybrid train -m $psn seed=$seeds
    hybrid train -m $psn data.subset.n=1000 trainer.batch_size=1000 trainer.duration='500 epochs' optimizer.lr=0.2 seed=$seeds ;;
linear)
    hybrid train -m experiment=mnist_linear seed=0,1,2,3,4
    hybrid train -m experiment=cifar10_linear seed=0,1,2,3,4 ;;
boundary)  # before and after the padding, as far as an hour goes
    for change in augmentation=dsc "augmentation=crop_flip augmentation.pad_mode=zero"; do
        # shellcheck disable=SC2086
        hybrid train experiment=regular_boundary $change trainer.duration='8 epochs' 'schedule.milestones=[30%,60%,80%]'
    done ;;
*) echo "unknown part: $each (svm, psn, linear, boundary)" >&2; exit 2 ;;
esac; done; done
