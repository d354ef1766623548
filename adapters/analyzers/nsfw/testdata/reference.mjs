// Writes reference.json: what nsfwjs 4.4.0 says of the pictures that nsfw_test.go draws. To run it again:
//   npm i @tensorflow/tfjs@4.22.0 buffer@6.0.3 nsfwjs@4.4.0 && node reference.mjs
import * as tf from '@tensorflow/tfjs'
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
const require = createRequire(import.meta.url)
const { load } = require('nsfwjs/core')
const { MobileNetV2MidModel } = require('nsfwjs/models/mobilenet_v2_mid')

const draw = (w, h, at) => {
  const pixels = new Int32Array(w * h * 3)
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) pixels.set(at(x, y), (y * w + x) * 3)
  return tf.tensor3d(pixels, [h, w, 3], 'int32')
}
const pictures = {
  gradient: draw(224, 224, (x, y) => [x, y, (x + y) >> 1]),
  stripes: draw(224, 224, (x, y) => ((x >> 4) + (y >> 4)) % 2 === 0 ? [230, 180, 150] : [40, 30, 60]),
  disc: draw(300, 200, (x, y) => (x - 150) ** 2 + (y - 100) ** 2 < 6400 ? [224, 172, 105] : [x % 256, 120, y]),
  noise: draw(97, 311, (x, y) => {
    const n = Math.imul(x * 7919 + y * 104729, 2654435761 | 0) >>> 0
    return [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255]
  }),
}
await tf.setBackend('cpu')
const model = await load('MobileNetV2Mid', { modelDefinitions: [MobileNetV2MidModel] })
const out = {}
for (const [name, picture] of Object.entries(pictures)) out[name] = Array.from(await model.infer(picture).data())
writeFileSync('reference.json', JSON.stringify(out, null, 2) + '\n')
