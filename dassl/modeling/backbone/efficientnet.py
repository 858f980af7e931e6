from .torchvision_features import register_features

efficientnet_b0 = register_features("efficientnet_b0")
efficientnet_b1 = register_features("efficientnet_b1")
efficientnet_b2 = register_features("efficientnet_b2")
efficientnet_b3 = register_features("efficientnet_b3")
efficientnet_b4 = register_features("efficientnet_b4")
efficientnet_b5 = register_features("efficientnet_b5")
efficientnet_b6 = register_features("efficientnet_b6")
efficientnet_b7 = register_features("efficientnet_b7")
