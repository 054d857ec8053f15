"""The output of a fixed front-end, computed once: the steps then begin at the normalization.

    wanted = plan_cache(plan, data, model)    # None, or what to keep and where; refuses the impossible before computing anything
    cache = wanted.build(model)      # the front-end's only pass over the images
    cache.loader(loader)             # the same batches, features in place of images
    cache.rest(model)                # the part of the model that takes them

Possible where the front-end says that it is fixed and the augmentation at most mirrors the images. A run with it is the run
without, up to the rounding of the front-end (on a CPU, where that does not depend on the batch, bit for bit).
"""

from hybrid.training.feature_cache.cache import CachePlan, FeatureCache, digest_images, plan_cache

__all__ = ["CachePlan", "FeatureCache", "digest_images", "plan_cache"]
