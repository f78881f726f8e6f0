import {
  status,
  type handleUnaryCall,
  type Metadata,
  type ServiceDefinition,
  type ServerUnaryCall,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { AdapterCalls } from '../../adapter/adapter-calls.js';
import { ThinError, toThinError } from '../../errors/thin-error.js';
import { UNKNOWN } from '../known-fields.js';
import type { MountMessage, TimestampMessage } from '../messages.js';
import { serviceOf } from '../protos.js';
import type { CallScope } from './content-store.js';
import type { Differ } from './differ.js';
import type { LayerBlob } from './layer-task.js';

interface DiffRequest {
  readonly left: readonly MountMessage[];
  readonly right: readonly MountMessage[];
  readonly mediaType: string;
  readonly ref: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly sourceDateEpoch: TimestampMessage | null;
  readonly [UNKNOWN]?: readonly number[];
}

/**
 * containerd's service of proxy differs (proto/diff.proto). containerd asks its differs one after the other
 * until one answers otherwise than UNIMPLEMENTED (plugins/services/diff), so that is what comes of everything
 * that failed here: the walking one behind this may do it. Layers are never applied here.
 */
export class DiffService {
  readonly #differ: Differ;
  readonly #calls: AdapterCalls;

  constructor(differ: Differ, calls: AdapterCalls) {
    this.#differ = differ;
    this.#calls = calls;
  }

  get definition(): Promise<ServiceDefinition> {
    return serviceOf('diff');
  }

  get implementation(): UntypedServiceImplementation {
    const diff: handleUnaryCall<DiffRequest, { diff: LayerBlob }> = (call, callback) => {
      void this.#diff(call).then(
        (blob) => callback(null, { diff: blob }),
        (error: unknown) => {
          const { code, message } = toThinError(error);
          callback({
            code: code === 'closed' ? status.UNAVAILABLE : status.UNIMPLEMENTED,
            details: message,
          });
        },
      );
    };
    const apply: handleUnaryCall<object, object> = (_call, callback) => {
      callback({ code: status.UNIMPLEMENTED, details: 'thinfuse applies no layers' });
    };
    return { Diff: diff, Apply: apply };
  }

  #diff(call: ServerUnaryCall<DiffRequest, unknown>): Promise<LayerBlob> {
    const gone = new AbortController();
    call.on('cancelled', () => gone.abort());
    return this.#calls.run(
      'Diff',
      () => call.request,
      ({ sourceDateEpoch, [UNKNOWN]: unknown, ...ask }) => {
        if (unknown !== undefined)
          throw new ThinError(
            'unsupported',
            `Diff has fields that this version does not know (${unknown.join(', ')})`,
          );
        const epoch = sourceDateEpoch === null ? undefined : Number(sourceDateEpoch.seconds);
        return this.#differ.diff({ ...ask, epoch, scope: scopeOf(call.metadata) }, gone.signal);
      },
    );
  }
}

/** containerd's headers (pkg/namespaces, core/leases). */
function scopeOf(metadata: Metadata): CallScope {
  const namespace = metadata.get('containerd-namespace')[0]?.toString();
  const lease = metadata.get('containerd-lease')[0]?.toString();
  if (namespace !== undefined && namespace !== '') return { namespace, lease };
  throw new ThinError(
    'unsupported',
    'the call names no namespace, so thinfuse cannot tell which content store takes the layer',
  );
}
